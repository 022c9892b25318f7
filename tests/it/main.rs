//! Integration tests: the real gateway on real sockets.

#[cfg(test)]
mod shipped_policies;
