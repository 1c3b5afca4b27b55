"""The use cases that several functions share. A use case of a single function is in that function's folder."""
