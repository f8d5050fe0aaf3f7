//! Something between kvssrc and the emulator: a proxy, or a line that can go dead.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Listens for ever on a free port of 127.0.0.1.
pub struct Relay {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    lines: Arc<Mutex<Vec<Line>>>,
}

/// Set where a connection is to go dead.
type Line = Arc<AtomicBool>;

impl Relay {
    /// Hands every connection on to one server.
    pub fn to(server: SocketAddr) -> Self {
        Self::start(move |_, _| TcpStream::connect(server).ok())
    }

    /// A proxy for plain HTTP, and for TLS through CONNECT.
    pub fn proxy() -> Self {
        Self::proxy_that_finds(|_| None)
    }

    /// A proxy that finds some of the hosts that it is to connect to, as `HOST:PORT`, where nobody else does.
    pub fn proxy_that_finds(find: impl Fn(&str) -> Option<SocketAddr> + Send + Sync + 'static) -> Self {
        Self::start(move |client, heads| {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).ok()?;
                head.push(byte[0]);
            }
            let text = String::from_utf8(head).ok()?;
            heads.lock().unwrap().push(text.clone());
            let (method, rest) = text.split_once(' ')?;
            let target = rest.split(' ').next()?;
            if method == "CONNECT" {
                let found = find(target).map(TcpStream::connect);
                let server = found.unwrap_or_else(|| TcpStream::connect(target)).ok()?;
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
                return Some(server);
            }
            let mut server = TcpStream::connect(target.strip_prefix("http://")?.split('/').next()?).ok()?;
            server.write_all(text.as_bytes()).ok()?;
            Some(server)
        })
    }

    fn start(
        connect: impl Fn(&mut TcpStream, &Mutex<Vec<String>>) -> Option<TcpStream> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, lines) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<Vec<Line>>>::default());
        let relay = Self { address, heads: Arc::clone(&heads), lines: Arc::clone(&lines) };
        let connect = Arc::new(connect);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(mut client) = client else { continue };
                let line = Line::default();
                lines.lock().unwrap().push(Arc::clone(&line));
                let (connect, heads) = (Arc::clone(&connect), Arc::clone(&heads));
                thread::spawn(move || {
                    let Some(server) = connect(&mut client, &heads) else { return };
                    let back = (server.try_clone().unwrap(), client.try_clone().unwrap(), Arc::clone(&line));
                    thread::spawn(move || pump(back.0, back.1, &back.2));
                    pump(client, server, &line);
                });
            }
        });
        relay
    }

    /// The head of each connection's first request to a proxy.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// From now on nothing comes through the connections that there are, and nobody is told.
    pub fn cut_silently(&self) {
        self.lines.lock().unwrap().iter().for_each(|line| line.store(true, Ordering::SeqCst));
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, dead: &AtomicBool) {
    let mut piece = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        if !dead.load(Ordering::SeqCst) && to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    if !dead.load(Ordering::SeqCst) {
        let _ = to.shutdown(Shutdown::Write);
    }
}
