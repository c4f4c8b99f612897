//! Finding the Redis that may be written to, and making a connection to it.
//!
//! One address is one server. With a master's name the addresses are Sentinels, asked in turn who the master is. Several addresses
//! without one are nodes of a cluster: all keys of a namespace lie in one slot, so following `MOVED` to that slot's owner is all that
//! a cluster needs, and its loss is followed the same way.

use std::{path::Path, sync::Once, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo,
    TlsCertificates, aio::MultiplexedConnection,
};

use super::{
    config::{RedisConfig, Secret, redact},
    error::RedisError,
    keys::Keys,
    scripts,
};

/// Version of the layout of the keys.
const LAYOUT: u32 = 1;
/// How often a cluster may send us on.
const MAX_REDIRECTS: usize = 5;

/// A connection and where it leads.
#[derive(Clone)]
pub(super) struct Dialled {
    pub(super) connection: MultiplexedConnection,
    pub(super) address: String,
    pub(super) user: String,
    pub(super) partitions: u32,
    info: ConnectionInfo,
    ca: Option<Vec<u8>>,
}

/// What to dial, read from the configuration.
#[derive(Debug)]
pub(super) struct Dialler {
    targets: Vec<ConnectionInfo>,
}

impl Dialler {
    pub(super) fn new(config: &RedisConfig) -> Result<Self, RedisError> {
        let mut targets = Vec::new();
        for address in &config.addresses {
            let info = address.as_str().into_connection_info().map_err(|_| RedisError::Config {
                key: "addresses",
                message: format!(
                    "holds `{}`, which is not of the form redis://host:port/database or rediss://…",
                    redact(address)
                ),
            })?;
            targets.push(info);
        }
        Ok(Self { targets })
    }

    /// Tries the addresses in turn, and says what the last of them said if none will do.
    pub(super) async fn dial(&self, config: &RedisConfig, keys: &Keys) -> Result<Dialled, RedisError> {
        let mut failure = None;
        for target in &self.targets {
            let dialled = match &config.sentinel_master {
                Some(master) => dial_through_sentinel(target, master, config, keys).await,
                None => dial_node(target.clone(), config, keys).await,
            };
            match dialled {
                Ok(dialled) => return Ok(dialled),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure
            .unwrap_or_else(|| RedisError::Config { key: "addresses", message: "is empty".to_owned() }))
    }
}

impl Dialled {
    /// A further connection to the same server, for a command that blocks.
    pub(super) async fn again(&self, config: &RedisConfig, wait: Duration) -> Result<Self, RedisError> {
        let connection =
            connect(&self.info, self.ca.as_deref(), config, config.command_timeout + wait, &self.user)
                .await?;
        Ok(Self { connection, ..self.clone() })
    }
}

async fn dial_through_sentinel(
    sentinel: &ConnectionInfo,
    master: &str,
    config: &RedisConfig,
    keys: &Keys,
) -> Result<Dialled, RedisError> {
    let address = sentinel.addr().to_string();
    let user = sentinel.redis_settings().username().unwrap_or("default").to_owned();
    let ca = read_ca(config).await?;
    // A Sentinel has no databases; the number in its address is the master's.
    let asked = sentinel.clone().set_redis_settings(sentinel.redis_settings().clone().set_db(0));
    let mut connection = connect(&asked, ca.as_deref(), config, config.command_timeout, &user).await?;
    let answer: Option<(String, u16)> = redis::cmd("SENTINEL")
        .arg("GET-MASTER-ADDR-BY-NAME")
        .arg(master)
        .query_async(&mut connection)
        .await
        .map_err(|error| RedisError::new(&error, &address, &user))?;
    let Some((host, port)) = answer else {
        let message = format!("this Sentinel knows no master named `{master}`");
        return Err(RedisError::Unavailable { address, message });
    };
    let settings = RedisConnectionInfo::default().set_db(sentinel.redis_settings().db());
    let target = sentinel.clone().set_addr(at(sentinel.addr(), &host, port)).set_redis_settings(settings);
    dial_node(target, config, keys).await
}

async fn dial_node(
    mut info: ConnectionInfo,
    config: &RedisConfig,
    keys: &Keys,
) -> Result<Dialled, RedisError> {
    let ca = read_ca(config).await?;
    let mut settings = info.redis_settings().clone();
    if let Some(user) = &config.username {
        settings = settings.set_username(user);
    }
    if let Some(password) = password(config).await? {
        settings = settings.set_password(password.reveal());
    }
    let user = settings.username().unwrap_or("default").to_owned();
    info = info.set_redis_settings(settings);
    for _ in 0..MAX_REDIRECTS {
        let address = info.addr().to_string();
        let mut connection = connect(&info, ca.as_deref(), config, config.command_timeout, &user).await?;
        match open(&mut connection, &address, &user, config, keys).await? {
            Opening::Here(partitions) => {
                return Ok(Dialled { connection, address, user, partitions, info, ca });
            }
            Opening::MovedTo(place) => {
                let (host, port) = place.rsplit_once(':').unwrap_or_default();
                let port = port.parse().map_err(|_| RedisError::unexpected(&address, "MOVED"))?;
                // A node that does not know its own name means the one that we asked.
                let host = if host.is_empty() {
                    address.rsplit_once(':').map_or("", |(host, _)| host)
                } else {
                    host
                };
                let target = at(info.addr(), host, port);
                info = info.set_addr(target);
            }
        }
    }
    let message = format!("its cluster sent the broker on more than {MAX_REDIRECTS} times");
    Err(RedisError::Unavailable { address: info.addr().to_string(), message })
}

enum Opening {
    /// This server owns the keys, in so many partitions.
    Here(u32),
    /// Another one does.
    MovedTo(String),
}

async fn open(
    connection: &mut MultiplexedConnection,
    address: &str,
    user: &str,
    config: &RedisConfig,
    keys: &Keys,
) -> Result<Opening, RedisError> {
    let mut load = redis::pipe();
    for script in scripts::ALL {
        load.cmd("SCRIPT").arg("LOAD").arg(script.text);
    }
    load.exec_async(connection).await.map_err(|error| RedisError::new(&error, address, user))?;
    let found: Result<(String, String), _> =
        scripts::OPEN.call(&[&keys.meta]).arg(LAYOUT).arg(config.partitions).query_async(connection).await;
    let (layout, partitions) = match found {
        Ok(found) => found,
        Err(error) => {
            return match error.redirect_node() {
                Some((place, _)) => Ok(Opening::MovedTo(place.to_owned())),
                None => Err(RedisError::new(&error, address, user)),
            };
        }
    };
    let partitions =
        partitions.parse().ok().filter(|count| (1..=super::config::MAX_PARTITIONS).contains(count));
    match partitions {
        Some(partitions) if layout == LAYOUT.to_string() => Ok(Opening::Here(partitions)),
        _ => Err(RedisError::Layout {
            address: address.to_owned(),
            prefix: config.prefix.clone(),
            found: format!("in version {layout}"),
            expected: format!("version {LAYOUT}"),
        }),
    }
}

async fn connect(
    info: &ConnectionInfo,
    ca: Option<&[u8]>,
    config: &RedisConfig,
    response_timeout: Duration,
    user: &str,
) -> Result<MultiplexedConnection, RedisError> {
    let address = info.addr().to_string();
    let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    let client = if is_tls {
        choose_tls_provider();
        let certificates = TlsCertificates { client_tls: None, root_cert: ca.map(<[u8]>::to_vec) };
        Client::build_with_tls(info.clone(), certificates)
    } else {
        Client::open(info.clone())
    };
    let options = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.connect_timeout))
        .set_response_timeout(Some(response_timeout));
    let client = client.map_err(|error| RedisError::new(&error, &address, user))?;
    let connection = client.get_multiplexed_async_connection_with_config(&options).await;
    connection.map_err(|error| match RedisError::new(&error, &address, user) {
        // A server that does not speak TLS waits for more, as one does that is stopped.
        RedisError::Unreachable { address, message } if error.is_timeout() && is_tls => {
            RedisError::Unreachable { address, message: format!("{message} (does this port speak TLS?)") }
        }
        error => error,
    })
}

fn at(like: &ConnectionAddr, host: &str, port: u16) -> ConnectionAddr {
    match like {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host: host.to_owned(),
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host.to_owned(), port),
    }
}

/// rustls refuses to choose by itself where a build holds more than one provider.
fn choose_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the program has chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

async fn read_ca(config: &RedisConfig) -> Result<Option<Vec<u8>>, RedisError> {
    let Some(path) = &config.ca_file else { return Ok(None) };
    tokio::fs::read(path).await.map(Some).map_err(|error| file_error("the CA file", path, &error))
}

async fn password(config: &RedisConfig) -> Result<Option<Secret>, RedisError> {
    let Some(path) = &config.password_file else { return Ok(config.password.clone()) };
    let text = tokio::fs::read_to_string(path)
        .await
        .map_err(|error| file_error("the password file", path, &error))?;
    Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
}

fn file_error(what: &'static str, path: &Path, error: &std::io::Error) -> RedisError {
    RedisError::File { what, path: path.to_owned(), message: error.to_string() }
}
