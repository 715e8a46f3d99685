"""Fills a workbook: finds places, plans blocks, rewrites sheets as streams, and patches the other parts."""
