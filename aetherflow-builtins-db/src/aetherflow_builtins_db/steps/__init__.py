"""One module per step; `query`, `extracting`, `writing` and `watermark` hold the parts that steps share."""
