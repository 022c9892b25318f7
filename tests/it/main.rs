//! Integration tests: the real gateway on real sockets.

mod shipped_policies;
