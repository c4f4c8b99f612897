//! What Redis refuses, told apart by what to do about it.

use std::path::PathBuf;

use redis::{ErrorKind, RedisError as ClientError};

/// What a [`RedisBroker`](super::RedisBroker) cannot do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisError {
    /// A setting cannot work.
    #[error("broker on redis: {key} {message}")]
    Config {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// A file that the configuration names cannot be read.
    #[error("broker on redis: cannot read {what} `{}`: {message}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        message: String,
    },
    /// Nobody answers.
    #[error(
        "redis at {address} cannot be reached: {message}; check the address, and that Redis runs and listens there"
    )]
    Unreachable {
        /// Host and port.
        address: String,
        /// What happened.
        message: String,
    },
    /// The certificate of the server is not accepted, or it does not speak TLS.
    #[error(
        "redis at {address}: no trusted TLS connection ({message}); check the CA file, the host name in the certificate, and that this port speaks TLS"
    )]
    Tls {
        /// Host and port.
        address: String,
        /// What happened.
        message: String,
    },
    /// User or password are wrong or missing.
    #[error(
        "redis at {address} refuses the user `{user}`: {message}; check the user name, the password or its file"
    )]
    Authentication {
        /// Host and port.
        address: String,
        /// The user.
        user: String,
        /// What Redis says.
        message: String,
    },
    /// The user may not do what the broker needs.
    #[error(
        "redis at {address} does not permit the broker's work: {message}; grant the user the keys and commands that the documentation lists"
    )]
    Permission {
        /// Host and port.
        address: String,
        /// What Redis says.
        message: String,
    },
    /// A key of the broker's holds something of another type.
    #[error(
        "redis at {address}: the key `{key}` is of the type {found}, not {expected}: another program uses it; choose another prefix, or remove the key"
    )]
    WrongType {
        /// Host and port.
        address: String,
        /// The key.
        key: String,
        /// Its type.
        found: String,
        /// The type that it should have.
        expected: &'static str,
    },
    /// Redis has reached `maxmemory` and may evict nothing.
    #[error("redis at {address} is out of memory: raise its maxmemory, or lower the broker's bound below it")]
    OutOfMemory {
        /// Host and port.
        address: String,
    },
    /// Redis cannot work now and will be able to later.
    #[error("redis at {address} cannot work now: {message}")]
    Unavailable {
        /// Host and port.
        address: String,
        /// What Redis says.
        message: String,
    },
    /// The namespace was laid out by another version.
    #[error(
        "redis at {address}: the keys under `{prefix}` are laid out {found}, this program reads {expected}; use the same version everywhere, or another prefix"
    )]
    Layout {
        /// Host and port.
        address: String,
        /// The prefix.
        prefix: String,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// Anything else that Redis answers.
    #[error("redis at {address} refuses: {message}")]
    Refused {
        /// Host and port.
        address: String,
        /// What Redis says.
        message: String,
    },
}

/// By these the library's errors about certificates and handshakes are known.
const TLS_WORDS: &[&str] = &[
    "certificate",
    "Certificate",
    "CertNot",
    "UnknownIssuer",
    "tls",
    "TLS",
    "HandshakeFailure",
    "InvalidMessage",
];

impl RedisError {
    /// What the client library reports, of the server at `address`, as the user `user`.
    pub(super) fn new(error: &ClientError, address: &str, user: &str) -> Self {
        let address = address.to_owned();
        // Of a pipeline, the first command that failed: the others failed with it.
        let refusals = error.clone().into_server_errors();
        let refusal = refusals.as_deref().and_then(|refusals| refusals.first()).map(|(_, refusal)| refusal);
        let code = refusal.map_or_else(|| error.code().unwrap_or_default(), |refusal| refusal.code());
        let detail = refusal.map_or_else(|| error.detail(), |refusal| refusal.details());
        let message = detail.map_or_else(|| error.to_string(), str::to_owned);
        if error.kind() == ErrorKind::AuthenticationFailed || matches!(code, "WRONGPASS" | "NOAUTH") {
            return Self::Authentication { address, user: user.to_owned(), message };
        }
        match code {
            // How a script is told that its user may not do something.
            "ERR" if message.contains("can't run this command") => Self::Permission { address, message },
            "NOPERM" => Self::Permission { address, message },
            "WRONGTYPE" => Self::WrongType {
                address,
                key: "(unknown)".to_owned(),
                found: "(unknown)".to_owned(),
                expected: "the broker's",
            },
            "OOM" => Self::OutOfMemory { address },
            "LOADING" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN" | "READONLY" | "MOVED" | "ASK"
            | "NOSCRIPT" | "BUSY" | "MISCONF" | "NOREPLICAS" | "UNBLOCKED" => {
                Self::Unavailable { address, message: format!("{code} {message}") }
            }
            _ if error.kind() == ErrorKind::Io => {
                let message = error.to_string();
                let is_tls = TLS_WORDS.iter().any(|word| message.contains(word));
                if is_tls { Self::Tls { address, message } } else { Self::Unreachable { address, message } }
            }
            _ if matches!(error.kind(), ErrorKind::Parse | ErrorKind::UnexpectedReturnType) => {
                Self::Unreachable {
                    address,
                    message: "what answers does not speak Redis' protocol".to_owned(),
                }
            }
            _ => Self::Refused { address, message: format!("{code} {message}").trim().to_owned() },
        }
    }

    /// An answer that has not the form that the broker's script gives it.
    pub(super) fn unexpected(address: &str, what: &str) -> Self {
        Self::Refused {
            address: address.to_owned(),
            message: format!("{what} was answered in an unknown form"),
        }
    }

    /// Whether waiting can help. A role that starts before Redis does waits for it.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::OutOfMemory { .. } | Self::Unavailable { .. })
    }

    /// Whether the connection is of no more use.
    pub(super) fn breaks_connection(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Tls { .. } | Self::Authentication { .. } => true,
            Self::Unavailable { message, .. } => {
                ["READONLY", "MOVED", "ASK", "NOSCRIPT", "CLUSTERDOWN", "UNBLOCKED"]
                    .iter()
                    .any(|code| message.starts_with(code))
            }
            _ => false,
        }
    }
}
