//! A network in one process: a relay of UDP datagrams between clients and one server.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::Interest,
    net::UdpSocket,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time,
};
use weftline::{
    driver::DatagramIo,
    udp::{Ecn, Transmit},
};
use weftline_std::{NonBlocking, UdpIo, UdpSockRef};

use crate::{
    capture::{Datagram, Fate, Side},
    link::{Direction, Link, Rng},
};

/// Where clients find the network. It carries nothing before [`Middlebox::start`].
pub(crate) struct Middlebox {
    /// The server's address as clients know it, and another one for it.
    fronts: [Arc<Socket>; 2],
}

/// A network that runs.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Vec<Datagram>>,
}

impl Middlebox {
    pub(crate) async fn bind(is_ipv6: bool) -> io::Result<Self> {
        let ip = match is_ipv6 {
            true => IpAddr::from(Ipv6Addr::LOCALHOST),
            false => Ipv4Addr::LOCALHOST.into(),
        };
        let fronts = [Socket::bind(ip).await?, Socket::bind(ip).await?];
        Ok(Self { fronts })
    }

    /// Where the client is to connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.fronts[0].local
    }

    /// Another address of the server's.
    pub(crate) fn alternative(&self) -> SocketAddr {
        self.fronts[1].local
    }

    /// Carries datagrams to `server` and back.
    pub(crate) fn start(self, server: SocketAddr, link: Link, seed: u64) -> Running {
        let (stop, stopped) = oneshot::channel();
        let (arrivals, arriving) = mpsc::unbounded_channel();
        for (index, front) in self.fronts.iter().enumerate() {
            front.clone().read(Origin::Front(index), arrivals.clone());
        }
        let mut rng = Rng(seed);
        let network = Network {
            fronts: self.fronts,
            server,
            link,
            to_server: Direction::new(link, link.to_server, rng.next()),
            to_client: Direction::new(link, link.to_client, rng.next()),
            rng,
            arrivals,
            flows: Vec::new(),
            flow_of: HashMap::new(),
            captured: Vec::new(),
            on_way: BinaryHeap::new(),
            epoch: None,
            rebinds_at: link.rebinding.map(|rebinding| rebinding.first),
        };
        let task = tokio::spawn(network.run(arriving, stopped));
        Running { stop, task }
    }
}

impl Running {
    /// Takes the network down, and returns what went over it in the order it was sent.
    pub(crate) async fn stop(self) -> Vec<Datagram> {
        let _ = self.stop.send(());
        self.task.await.unwrap_or_default()
    }
}

struct Network {
    fronts: [Arc<Socket>; 2],
    server: SocketAddr,
    link: Link,
    to_server: Direction,
    to_client: Direction,
    rng: Rng,
    arrivals: mpsc::UnboundedSender<Arrival>,
    flows: Vec<Flow>,
    flow_of: HashMap<(usize, SocketAddr), usize>,
    captured: Vec<Datagram>,
    /// When which of the captured is to be delivered, and on which flow; the first first.
    on_way: BinaryHeap<Reverse<(Duration, usize, Delivery)>>,
    epoch: Option<Instant>,
    rebinds_at: Option<Duration>,
}

/// A client's address, one of the server's, and what the server takes for the client.
struct Flow {
    front: usize,
    client: SocketAddr,
    /// By generation; the last is in use.
    backs: Vec<Arc<Socket>>,
}

impl Flow {
    fn generation(&self) -> usize {
        self.backs.len() - 1
    }

    fn back(&self) -> &Arc<Socket> {
        &self.backs[self.generation()]
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Delivery {
    flow: usize,
    generation: usize,
}

#[derive(Copy, Clone, Debug)]
enum Origin {
    Front(usize),
    Back(Delivery),
}

struct Arrival {
    origin: Origin,
    from: SocketAddr,
    ecn: u8,
    data: Vec<u8>,
}

impl Network {
    async fn run(
        mut self,
        mut arriving: mpsc::UnboundedReceiver<Arrival>,
        mut stopped: oneshot::Receiver<()>,
    ) -> Vec<Datagram> {
        loop {
            let next = self.on_way.peek().map(|Reverse((at, ..))| *at);
            let next = next.into_iter().chain(self.rebinds_at).min();
            // Before the first datagram nothing is due.
            let due = self.epoch.zip(next).map(|(epoch, at)| epoch + at);
            let wait = async {
                match due {
                    Some(at) => time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = &mut stopped => return self.captured,
                Some(arrival) = arriving.recv() => self.take(arrival).await,
                () = wait => self.on_due().await,
            }
        }
    }

    fn now(&self) -> Duration {
        self.epoch.map_or(Duration::ZERO, |epoch| epoch.elapsed())
    }

    /// A datagram enters the network.
    async fn take(&mut self, arrival: Arrival) {
        self.epoch.get_or_insert_with(Instant::now);
        let now = self.now();
        let (side, delivery) = match arrival.origin {
            Origin::Back(delivery) => (Side::Server, delivery),
            Origin::Front(front) => match self.flow(front, arrival.from).await {
                Ok(flow) => {
                    let generation = self.flows[flow].generation();
                    (Side::Client, Delivery { flow, generation })
                }
                Err(error) => return eprintln!("middlebox: no socket: {error}"),
            },
        };
        let flow = &self.flows[delivery.flow];
        let way = match side {
            Side::Client => &mut self.to_server,
            Side::Server => &mut self.to_client,
        };
        let arrives = way.enqueue(now, arrival.data.len());
        let index = self.captured.len();
        self.captured.push(Datagram {
            from: side,
            sent: now,
            data: arrival.data,
            ecn: arrival.ecn,
            client_path: (flow.client, self.fronts[flow.front].local),
            server_path: (flow.backs[delivery.generation].local, self.server),
            fate: match arrives {
                Some(_) => Fate::OnItsWay,
                None => Fate::Dropped,
            },
        });
        if let Some(at) = arrives {
            self.on_way.push(Reverse((at, index, delivery)));
        }
    }

    async fn on_due(&mut self) {
        let now = self.now();
        if let (Some(at), Some(rebinding)) = (self.rebinds_at, self.link.rebinding)
            && at <= now
        {
            self.rebinds_at = Some(at + rebinding.every);
            for flow in 0..self.flows.len() {
                if let Err(error) = self.rebind(flow, rebinding.changes_address).await {
                    eprintln!("middlebox: no socket: {error}");
                }
            }
        }
        while let Some(Reverse((at, index, delivery))) = self.on_way.peek().copied()
            && at <= now
        {
            self.on_way.pop();
            self.deliver(now, index, delivery);
        }
    }

    /// A datagram leaves the network.
    fn deliver(&mut self, now: Duration, index: usize, delivery: Delivery) {
        let flow = &self.flows[delivery.flow];
        let datagram = &mut self.captured[index];
        let mut data = datagram.data.clone();
        let (way, socket, to) = match datagram.from {
            Side::Client => {
                datagram.server_path = (flow.back().local, self.server);
                (&mut self.to_server, flow.back(), self.server)
            }
            Side::Server => (&mut self.to_client, &self.fronts[flow.front], flow.client),
        };
        datagram.fate = way.deliver(now, &mut data);
        if datagram.from == Side::Server && delivery.generation != flow.generation() {
            datagram.fate = Fate::Unbound;
        }
        if matches!(datagram.fate, Fate::Delivered(_) | Fate::Corrupted) {
            socket.send(to, datagram.ecn, &data);
        }
    }

    /// The flow of a client's address; a new one if there is none.
    async fn flow(&mut self, front: usize, client: SocketAddr) -> io::Result<usize> {
        if let Some(flow) = self.flow_of.get(&(front, client)) {
            return Ok(*flow);
        }
        let flow = self.flows.len();
        let back = Socket::bind(self.server.ip()).await?;
        let origin = Origin::Back(Delivery {
            flow,
            generation: 0,
        });
        back.clone().read(origin, self.arrivals.clone());
        self.flows.push(Flow {
            front,
            client,
            backs: vec![back],
        });
        self.flow_of.insert((front, client), flow);
        Ok(flow)
    }

    async fn rebind(&mut self, index: usize, changes_address: bool) -> io::Result<()> {
        let flow = &mut self.flows[index];
        let old = flow.back().local.ip();
        let mut ip = old;
        while changes_address && ip == old {
            ip = Ipv4Addr::new(127, 0, 0, 2 + self.rng.below(250) as u8).into();
        }
        let back = Socket::bind(ip).await?;
        flow.backs.push(back.clone());
        let delivery = Delivery {
            flow: index,
            generation: flow.generation(),
        };
        // The old socket goes on being read, so that the server is not told that it is gone.
        back.read(Origin::Back(delivery), self.arrivals.clone());
        Ok(())
    }
}

/// A socket with ECN.
struct Socket {
    socket: Arc<UdpSocket>,
    io: Mutex<UdpIo<Shared>>,
    local: SocketAddr,
}

impl Socket {
    async fn bind(ip: IpAddr) -> io::Result<Arc<Self>> {
        let socket = Arc::new(UdpSocket::bind((ip, 0)).await?);
        let local = socket.local_addr()?;
        let io = Mutex::new(UdpIo::new(Shared(socket.clone()), local)?);
        Ok(Arc::new(Self { socket, io, local }))
    }

    /// Passes on what comes, until nobody listens.
    fn read(self: Arc<Self>, origin: Origin, to: mpsc::UnboundedSender<Arrival>) {
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Ok(()) = self.socket.readable() => {}
                    () = to.closed() => return,
                }
                let mut io = self.io.lock().unwrap_or_else(PoisonError::into_inner);
                while let Some((meta, data)) = io.try_recv() {
                    let arrival = Arrival {
                        origin,
                        from: meta.from,
                        ecn: meta.ecn.map_or(0, |ecn| ecn as u8),
                        data: data.to_vec(),
                    };
                    let _ = to.send(arrival);
                }
            }
        });
    }

    /// Sends a datagram, or loses it.
    fn send(&self, to: SocketAddr, ecn: u8, data: &[u8]) {
        let transmit = Transmit {
            to,
            from: None,
            ecn: Ecn::from_bits(ecn),
            len: data.len(),
            segment: None,
        };
        let mut io = self.io.lock().unwrap_or_else(PoisonError::into_inner);
        io.try_send(&transmit, data);
    }
}

struct Shared(Arc<UdpSocket>);

impl NonBlocking for Shared {
    fn as_udp(&self) -> UdpSockRef<'_> {
        (&*self.0).into()
    }

    fn try_recv<R>(&self, receive: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.0.try_io(Interest::READABLE, receive)
    }

    fn try_send<R>(&self, send: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.0.try_io(Interest::WRITABLE, send)
    }
}
