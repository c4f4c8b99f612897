//! A TCP proxy on loopback whose connections can be cut, stalled and delayed.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// How often a stalled connection looks whether it may go on.
const LOOK: Duration = Duration::from_millis(10);

/// How long the real server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// Stands between clients and a server.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    is_cut: Mutex<bool>,
    /// Both ends of every connection, by its number.
    connections: Mutex<Vec<(u64, [TcpStream; 2])>>,
    stalled_until: Mutex<Option<Instant>>,
    delay_ms: AtomicU64,
    next: AtomicU64,
}

impl Proxy {
    /// Listens on a free port and hands connections on to `server`'s port on this machine.
    pub fn start(server: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port for a proxy")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            for client in listener.incoming().flatten() {
                shared.accept(client, server);
            }
        })?;
        Ok(Self { address, state })
    }

    /// Where clients connect to.
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Closes all connections; until [`Proxy::mend`] new ones are closed as soon as they are made.
    pub fn cut(&self) {
        *lock(&self.state.is_cut) = true;
        for (_, ends) in lock(&self.state.connections).drain(..) {
            close(&ends);
        }
    }

    /// Accepts connections again.
    pub fn mend(&self) {
        *lock(&self.state.is_cut) = false;
    }

    /// Keeps what is sent to itself for so long; connections stay open.
    pub fn stall(&self, time: Duration) {
        *lock(&self.state.stalled_until) = Some(Instant::now() + time);
    }

    /// Hands everything on late; [`Duration::ZERO`] ends that.
    pub fn delay(&self, time: Duration) {
        self.state.delay_ms.store(time.as_millis() as u64, Ordering::Relaxed);
    }
}

impl State {
    fn accept(self: &Arc<Self>, client: TcpStream, server: u16) {
        if *lock(&self.is_cut) {
            let _ = client.shutdown(Shutdown::Both);
            return;
        }
        let state = Arc::clone(self);
        // A thread of its own, so that a server that is away does not keep others from being refused.
        let _ = thread::Builder::new().name("proxy-connection".to_owned()).spawn(move || {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server));
            let Ok(server) = TcpStream::connect_timeout(&address, CONNECT) else { return };
            let _ = state.join(client, server);
        });
    }

    /// Hands on in both directions until either end closes.
    fn join(self: &Arc<Self>, client: TcpStream, server: TcpStream) -> std::io::Result<()> {
        for end in [&client, &server] {
            end.set_nodelay(true)?;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.connections).push((number, [client.try_clone()?, server.try_clone()?]));
        if *lock(&self.is_cut) {
            close(&[client.try_clone()?, server.try_clone()?]);
        }
        let (state, from, to) = (Arc::clone(self), server.try_clone()?, client.try_clone()?);
        let back = thread::spawn(move || state.pump(from, to));
        self.pump(client, server);
        let _ = back.join();
        lock(&self.connections).retain(|(other, _)| *other != number);
        Ok(())
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            thread::sleep(Duration::from_millis(self.delay_ms.load(Ordering::Relaxed)));
            while lock(&self.stalled_until).is_some_and(|until| Instant::now() < until) {
                thread::sleep(LOOK);
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        close(&[from, to]);
    }
}

fn close(ends: &[TcpStream; 2]) {
    for end in ends {
        // It may be closed already.
        let _ = end.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers every byte with the next one.
    fn server() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut byte = [0];
                    while client.read_exact(&mut byte).is_ok() {
                        let _ = client.write_all(&[byte[0].wrapping_add(1)]);
                    }
                });
            }
        });
        port
    }

    fn ask(stream: &mut TcpStream) -> std::io::Result<u8> {
        stream.write_all(&[41])?;
        let mut answer = [0];
        stream.read_exact(&mut answer)?;
        Ok(answer[0])
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap()
    }

    #[test]
    fn a_cut_closes_connections_and_mending_lets_new_ones_through() {
        let proxy = Proxy::start(server()).unwrap();
        let mut stream = connect(&proxy);
        assert_eq!(ask(&mut stream).unwrap(), 42);
        proxy.cut();
        assert!(ask(&mut stream).is_err());
        assert!(ask(&mut connect(&proxy)).is_err());
        proxy.mend();
        assert_eq!(ask(&mut connect(&proxy)).unwrap(), 42);
    }

    #[test]
    fn what_is_stalled_or_delayed_arrives_later() {
        let proxy = Proxy::start(server()).unwrap();
        let mut stream = connect(&proxy);
        proxy.stall(Duration::from_millis(300));
        let begun = Instant::now();
        assert_eq!(ask(&mut stream).unwrap(), 42);
        assert!(begun.elapsed() >= Duration::from_millis(290));
        proxy.delay(Duration::from_millis(100));
        let begun = Instant::now();
        assert_eq!(ask(&mut stream).unwrap(), 42);
        assert!(begun.elapsed() >= Duration::from_millis(200), "there and back");
    }
}
