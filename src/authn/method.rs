//! How an agent proves who it is.

/// How a client authenticates: a registered name of `token_endpoint_auth_methods`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By an assertion (RFC 7523 §2.2).
    PrivateKeyJwt,
    /// By a certificate that it has made itself for a key that it is known by (RFC 8705 §2.2).
    SelfSignedTls,
    /// By a certificate of one of our authorities with its SPIFFE id in it (RFC 8705 §2.1).
    Tls,
}

impl Method {
    const ALL: [Self; 3] = [Self::PrivateKeyJwt, Self::SelfSignedTls, Self::Tls];

    /// The registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::SelfSignedTls => "self_signed_tls_client_auth",
            Self::Tls => "tls_client_auth",
        }
    }

    /// The method of a registered name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether the connection's certificate is what authenticates.
    #[must_use]
    pub const fn is_certificate(self) -> bool {
        !matches!(self, Self::PrivateKeyJwt)
    }
}
