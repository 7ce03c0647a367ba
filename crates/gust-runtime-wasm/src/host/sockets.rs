//! What `wasi:sockets` may reach: the outbound list, read with the schemes `tcp` and `udp`.
//!
//! A socket knows addresses only. So an address is fine if the list names it (by address, network or `*` for public
//! ones), or if a host that the list names resolves to it and may. Nothing is ever accepted from outside.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use gust_types::outbound::{Outbound, Verdict};
use wasmtime_wasi::{WasiCtxBuilder, sockets::SocketAddrUse};

/// Host names that one check resolves at most.
const NAMES: usize = 16;

/// Opens the network as far as the list goes. Names are looked up only for functions that may have sockets at all: a
/// look-up carries whatever the guest puts in the name to whoever serves that name.
pub(crate) fn allow(wasi: &mut WasiCtxBuilder, outbound: &Arc<Outbound>) {
    if !outbound.opens_sockets() {
        return;
    }
    let outbound = outbound.clone();
    wasi.allow_tcp(true)
        .allow_udp(true)
        .allow_ip_name_lookup(true)
        .socket_addr_check(move |address, purpose| {
            let outbound = outbound.clone();
            Box::pin(async move { is_allowed(&outbound, address, purpose).await })
        });
}

async fn is_allowed(outbound: &Outbound, address: SocketAddr, purpose: SocketAddrUse) -> bool {
    match purpose {
        SocketAddrUse::TcpConnect => reaches(outbound, "tcp", address).await,
        SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
            reaches(outbound, "udp", address).await
        }
        // Every connection begins with a bind to "anything"; a chosen address or port is a server's wish.
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => {
            address.ip().to_canonical().is_unspecified() && address.port() == 0
        }
        SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
    }
}

async fn reaches(outbound: &Outbound, scheme: &str, address: SocketAddr) -> bool {
    let (ip, port) = (address.ip().to_canonical(), address.port());
    let verdict = outbound.check(scheme, &ip.to_string(), port);
    if verdict != Verdict::Denied && outbound.check_address(verdict, scheme, ip, port) {
        return true;
    }
    for name in outbound.names(scheme, port).take(NAMES) {
        let verdict = outbound.check(scheme, name, port);
        if outbound.check_address(verdict, scheme, ip, port) && resolves_to(name, ip).await {
            return true;
        }
    }
    false
}

async fn resolves_to(name: &str, wanted: IpAddr) -> bool {
    tokio::net::lookup_host((name, 0))
        .await
        .is_ok_and(|mut found| found.any(|address| address.ip().to_canonical() == wanted))
}

#[cfg(test)]
mod tests {
    use gust_types::outbound::Blocked;

    use super::*;

    async fn check(
        patterns: &[&str],
        blocked: &[&str],
        address: &str,
        purpose: SocketAddrUse,
    ) -> bool {
        let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let blocked = Blocked::parse(&owned(blocked)).unwrap();
        let outbound = Outbound::parse(&owned(patterns)).unwrap().without(&blocked);
        is_allowed(&outbound, address.parse().unwrap(), purpose).await
    }

    #[tokio::test]
    async fn sockets_follow_the_list() {
        use SocketAddrUse::{TcpBind, TcpConnect, TcpListen, UdpSend};
        for (patterns, address, purpose, allowed) in [
            (
                &["*://10.0.0.0/8:5432"][..],
                "10.1.2.3:5432",
                TcpConnect,
                true,
            ),
            (&["*://10.0.0.0/8:5432"], "10.1.2.3:5433", TcpConnect, false),
            (&["tcp://10.1.2.3:5432"], "10.1.2.3:5432", TcpConnect, true),
            (&["tcp://10.1.2.3:5432"], "10.1.2.3:5432", UdpSend, false),
            (&["udp://10.1.2.3:53"], "10.1.2.3:53", UdpSend, true),
            (&["https://10.1.2.3"], "10.1.2.3:443", TcpConnect, false),
            (&["*://*:*"], "192.0.9.1:80", TcpConnect, true),
            (&["*://*:*"], "10.1.2.3:80", TcpConnect, false),
            (&["*://*:*"], "127.0.0.1:80", TcpConnect, false),
            (&["*://*:*"], "[::ffff:127.0.0.1]:80", TcpConnect, false),
            (&["*://localhost:80"], "127.0.0.1:80", TcpConnect, true),
            (&["*://localhost:80"], "127.0.0.1:81", TcpConnect, false),
            (&["*://*:*"], "0.0.0.0:0", TcpBind, true),
            (&["*://*:*"], "0.0.0.0:8080", TcpBind, false),
            (&["*://*:*"], "0.0.0.0:0", TcpListen, false),
        ] {
            let found = check(patterns, &[], address, purpose).await;
            assert_eq!(found, allowed, "{patterns:?} {address} {purpose:?}");
        }
    }

    #[tokio::test]
    async fn the_operators_word_is_first() {
        for (pattern, address) in [
            ("tcp://127.0.0.1:80", "127.0.0.1:80"),
            ("tcp://localhost:80", "127.0.0.1:80"),
            ("tcp://127.0.0.1:80", "[::ffff:127.0.0.1]:80"),
            ("*://*:*", "192.0.9.1:80"),
        ] {
            for (blocked, allowed) in [("10.0.0.0/8", true), ("0.0.0.0/0", false)] {
                let purpose = SocketAddrUse::TcpConnect;
                let found = check(&[pattern], &[blocked], address, purpose).await;
                assert_eq!(found, allowed, "{pattern} {blocked} {address}");
            }
        }
    }
}
