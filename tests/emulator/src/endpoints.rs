//! Where the emulator listens, and the URLs that clients find it by.

use std::net::SocketAddr;

use hyper::http::uri::Authority;

/// Where the emulator listens.
///
/// Each of the service's data endpoints is a host of its own. PutMedia has one here, too, where HTTP/2 is spoken: producer-c
/// signs headers that only HTTP/1.1 has, while the library that carries its requests takes HTTP/2 where that is offered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoints {
    /// Where all operations are.
    pub address: SocketAddr,
    /// Where PutMedia is pointed to.
    pub put_media: SocketAddr,
    pub tls: bool,
}

impl Endpoints {
    /// The URL of all operations as a client can use it that names them by `authority`; empty is no name.
    pub fn url(&self, authority: &str) -> String {
        let port = |host: &Authority| host.port_u16().unwrap_or(self.address.port());
        self.at(self.address, authority, port)
    }

    /// The same of PutMedia.
    pub fn put_media_url(&self, authority: &str) -> String {
        if self.put_media == self.address {
            return self.url(authority);
        }
        self.at(self.put_media, authority, |_| self.put_media.port())
    }

    /// The address, or, where that names no machine, the host that the client used.
    fn at(&self, address: SocketAddr, authority: &str, port: impl Fn(&Authority) -> u16) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        match authority.parse::<Authority>() {
            Ok(host) if address.ip().is_unspecified() => format!("{scheme}://{}:{}", host.host(), port(&host)),
            _ => format!("{scheme}://{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(address: &str, put_media: &str) -> Endpoints {
        Endpoints { address: address.parse().unwrap(), put_media: put_media.parse().unwrap(), tls: true }
    }

    #[test]
    fn who_listens_everywhere_is_found_by_the_name_that_the_client_used() {
        let everywhere = endpoints("0.0.0.0:8480", "0.0.0.0:8481");
        for (authority, all, put_media) in [
            ("camera.lan:8480", "https://camera.lan:8480", "https://camera.lan:8481"),
            ("camera.lan", "https://camera.lan:8480", "https://camera.lan:8481"),
            ("10.0.0.7:80", "https://10.0.0.7:80", "https://10.0.0.7:8481"),
            ("[fd00::7]", "https://[fd00::7]:8480", "https://[fd00::7]:8481"),
            ("", "https://0.0.0.0:8480", "https://0.0.0.0:8481"),
            ("no name", "https://0.0.0.0:8480", "https://0.0.0.0:8481"),
        ] {
            assert_eq!(everywhere.url(authority), all);
            assert_eq!(everywhere.put_media_url(authority), put_media);
        }
    }

    #[test]
    fn who_listens_at_one_address_is_found_there() {
        let one = endpoints("127.0.0.1:8480", "127.0.0.1:8480");
        assert_eq!(one.url("camera.lan"), "https://127.0.0.1:8480");
        assert_eq!(one.put_media_url("camera.lan"), "https://127.0.0.1:8480");
    }
}
