"""Reserved for reports: Excel workbooks. Holds no plugin yet."""
