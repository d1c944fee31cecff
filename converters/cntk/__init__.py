"""The CNTK engine: lowerings record calls of CNTK, which a worker under Python 3.6 makes."""
