//! Integration tests: the real gateway on real sockets.
