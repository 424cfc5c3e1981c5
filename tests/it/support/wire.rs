//! A wire to a server that can be cut: all its connections end at once, and new ones are let through again.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) struct Wire {
    address: String,
    cuts: watch::Sender<u32>,
    _carrying: JoinSet<()>,
}

impl Wire {
    /// A wire to an address.
    pub(crate) async fn to(server: &str) -> Self {
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (cuts, cut) = watch::channel(0);
        let mut carrying = JoinSet::new();
        carrying.spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let (server, mut cut) = (server.clone(), cut.clone());
                cut.mark_unchanged();
                wires.spawn(async move {
                    let mut server = TcpStream::connect(&server).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self {
            address,
            cuts,
            _carrying: carrying,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Cuts it.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}
