"""The tokeniser as operations of a graph."""
