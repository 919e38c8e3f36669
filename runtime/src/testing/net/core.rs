//! What a virtual network knows, and the order in which things happen in it.
//!
//! What is on its way is an event with the time of its arrival. Events happen in the order of their times, and of their
//! sending if those are equal, whenever somebody uses the network ([`Core::advance`]); while there are any, a system task
//! sees to it that they happen in time. Without latency an event happens at once, inside of the call that caused it.
//!
//! Waking somebody may run foreign code, so nothing is borrowed when sockets are told.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use super::connection::{EndId, Endpoint, Segment};
use super::datagram::Datagrams;
use super::link::Link;
use super::listener::Listener;
use super::packet::UdpPacket;
use super::random::Random;
use crate::kernel::context;
use crate::kernel::run::Run;
use crate::kernel::scope::move_on_at;
use crate::kernel::system::spawn_system_task;
use crate::testing::changes::Changes;

/// The first port of those that are given out when none is asked for; the range goes to the end.
const FIRST_EPHEMERAL: u16 = 49152;
/// After how long TCP sends for the first time what was lost; twice as long each further time.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// More often than this in a row nothing is lost.
const RETRANSMISSIONS: u32 = 8;
/// The address of everybody.
pub(super) const BROADCAST: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);

/// A host's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostId(pub(super) usize);

/// Two hosts, the one with the smaller number first.
pub(super) type Pair = (HostId, HostId);

pub(super) fn pair(a: HostId, b: HostId) -> Pair {
    if a <= b { (a, b) } else { (b, a) }
}

pub(super) struct HostState {
    pub(super) name: String,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) down: bool,
    next_port: u16,
    pub(super) listeners: Vec<Weak<Listener>>,
    pub(super) datagrams: Vec<Weak<Datagrams>>,
}

impl HostState {
    pub(super) fn new(name: String, addresses: Vec<IpAddr>) -> Self {
        let (listeners, datagrams) = (Vec::new(), Vec::new());
        Self { name, addresses, down: false, next_port: FIRST_EPHEMERAL, listeners, datagrams }
    }
}

/// Something on its way from one host to another.
pub(super) struct Passage {
    pub(super) from: HostId,
    pub(super) to: HostId,
    pub(super) what: Cargo,
}

pub(super) enum Cargo {
    Datagram(UdpPacket),
    /// Nobody takes what this socket sends there.
    Unreachable {
        socket: SocketAddr,
        destination: SocketAddr,
    },
    Segment {
        end: EndId,
        source: SocketAddr,
        destination: SocketAddr,
        segment: Segment,
    },
    /// A client that found the queue full tries to connect again.
    Again {
        end: EndId,
        source: SocketAddr,
        destination: SocketAddr,
    },
}

pub(super) struct State {
    pub(super) hosts: Vec<HostState>,
    pub(super) default_link: Link,
    pub(super) links: BTreeMap<Pair, Link>,
    /// Between these hosts nothing gets through.
    pub(super) cut: BTreeSet<Pair>,
    /// Until when links of limited bandwidth are busy.
    busy: BTreeMap<(HostId, HostId), Instant>,
    events: BTreeMap<(Instant, u64), Passage>,
    /// Segments that TCP sends again and again, until somebody is there.
    held: Vec<Passage>,
    pub(super) ends: BTreeMap<EndId, Weak<Endpoint>>,
    next_serial: u64,
    pub(super) random: Random,
}

type Route = dyn Fn(&super::Network, UdpPacket);

pub(super) struct Core {
    state: RefCell<State>,
    advancing: Cell<bool>,
    /// The system task is there.
    driven: Cell<bool>,
    sooner: Changes,
    pub(super) route: RefCell<Option<Rc<Route>>>,
}

/// The time on the run's clock; `None` when there is no run any more, and so nobody to notice anything.
fn now() -> Option<Instant> {
    context::try_with(Run::instant_now)
}

pub(super) fn os(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

/// Sets a flag to false again.
struct Reset<'a>(&'a Cell<bool>);

impl Drop for Reset<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Core {
    pub(super) fn new(seed: u64) -> Rc<Self> {
        let state = State {
            hosts: Vec::new(),
            default_link: Link::new(),
            links: BTreeMap::new(),
            cut: BTreeSet::new(),
            busy: BTreeMap::new(),
            events: BTreeMap::new(),
            held: Vec::new(),
            ends: BTreeMap::new(),
            next_serial: 0,
            random: Random::new(seed),
        };
        Rc::new(Self {
            state: RefCell::new(state),
            advancing: Cell::new(false),
            driven: Cell::new(false),
            sooner: Changes::default(),
            route: RefCell::default(),
        })
    }

    pub(super) fn state(&self) -> Ref<'_, State> {
        self.state.borrow()
    }

    pub(super) fn state_mut(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    // ------------------------------------------------------------------ time

    /// Lets happen what is due.
    pub(super) fn advance(self: &Rc<Self>) {
        if self.advancing.replace(true) {
            // Somebody further out does it, and goes on with what has come up since.
            return;
        }
        let _over = Reset(&self.advancing);
        // A real clock goes on meanwhile, and what is caused on the way is due at a later time than what caused it.
        while let Some(now) = now() {
            let due = self.state_mut().pop_due(now);
            let Some(passage) = due else { break };
            self.arrive(passage);
        }
    }

    fn next_time(&self) -> Option<Instant> {
        self.state().events.keys().next().map(|(time, _)| *time)
    }

    /// Sends something on its way, that takes this long.
    fn post(self: &Rc<Self>, passage: Passage, delay: Duration) {
        let Some(now) = now() else { return };
        self.state_mut().insert(now + delay, passage);
        if delay.is_zero() {
            self.advance();
            return;
        }
        self.sooner.tell();
        if !self.driven.replace(true) {
            // When the run ends nothing has to arrive any more.
            let _ended = spawn_system_task("virtual network", drive(Driving(Rc::clone(self))));
        }
    }

    // ------------------------------------------------------------------ on the way

    /// Sends a datagram through the links, where it may meet with anything. To a group or to all: to each host.
    pub(super) fn transmit(self: &Rc<Self>, packet: UdpPacket) {
        let destinations: Vec<HostId> = {
            let state = self.state();
            let ip = packet.destination.ip();
            if ip.is_multicast() || ip == BROADCAST {
                (0..state.hosts.len()).map(HostId).filter(|host| packet.loops || *host != packet.host).collect()
            } else {
                state.host_of(packet.host, ip).into_iter().collect()
            }
        };
        for to in destinations {
            let passages = self.state_mut().copies(packet.host, to, &packet);
            for delay in passages {
                let passage = Passage { from: packet.host, to, what: Cargo::Datagram(packet.clone()) };
                self.post(passage, delay);
            }
        }
    }

    /// Sends what is neither lost nor doubled.
    pub(super) fn send(self: &Rc<Self>, passage: Passage) {
        let Some(now) = now() else { return };
        if self.state().hosts[passage.from.0].down {
            return;
        }
        if self.state().is_blocked(passage.from, passage.to) {
            self.state_mut().hold(passage);
            return;
        }
        let bytes = match &passage.what {
            Cargo::Segment { segment, .. } => segment.len(),
            Cargo::Datagram(_) | Cargo::Unreachable { .. } | Cargo::Again { .. } => 0,
        };
        let delay = self.state_mut().delay_of_segment(passage.from, passage.to, bytes, now);
        self.post(passage, delay);
    }

    /// Sends again what was held, where something gets through by now.
    pub(super) fn release(self: &Rc<Self>) {
        let held = std::mem::take(&mut self.state_mut().held);
        for passage in held {
            if self.state().is_wanted(&passage) {
                self.send(passage);
            }
        }
    }

    fn arrive(self: &Rc<Self>, passage: Passage) {
        if self.state().is_blocked(passage.from, passage.to) {
            self.state_mut().hold(passage);
            return;
        }
        let Passage { from, to, what } = passage;
        match what {
            Cargo::Datagram(packet) => self.datagram_arrives(from, to, packet),
            Cargo::Unreachable { socket, destination } => {
                let sockets = self.state().datagrams_of(to);
                for found in sockets.iter().filter(|found| found.local() == socket) {
                    found.refused(destination);
                }
            }
            Cargo::Again { end, source, destination } => {
                if self.state().end(end.other()).is_some() {
                    self.somebody_connects(from, to, end, source, destination);
                }
            }
            Cargo::Segment { end, source, destination, segment } => {
                let found = self.state().end(end);
                if let Some(found) = found {
                    found.segment_arrives(segment);
                } else if segment.opens() {
                    self.somebody_connects(from, to, end, source, destination);
                } else if segment.wants_an_answer() {
                    self.refuse(from, to, end, source, destination);
                }
            }
        }
    }

    /// Gives a datagram to whoever takes it.
    pub(super) fn datagram_arrives(self: &Rc<Self>, from: HostId, to: HostId, packet: UdpPacket) {
        let sockets = self.state().datagrams_of(to);
        let ip = packet.destination.ip();
        if ip.is_multicast() || ip == BROADCAST {
            for socket in sockets.iter().filter(|socket| socket.takes_of_group(&packet)) {
                socket.arrive(packet.clone());
            }
            return;
        }
        let best =
            sockets.iter().filter_map(|socket| Some((socket.takes(&packet)?, socket))).max_by_key(|(fit, _)| *fit);
        match best {
            Some((_, socket)) => socket.arrive(packet),
            None => {
                let what = Cargo::Unreachable { socket: packet.source, destination: packet.destination };
                self.send(Passage { from: to, to: from, what });
            }
        }
    }

    fn somebody_connects(
        self: &Rc<Self>,
        from: HostId,
        to: HostId,
        end: EndId,
        source: SocketAddr,
        destination: SocketAddr,
    ) {
        let listener = self.state().listener_at(to, destination);
        match listener {
            Some(listener) if listener.is_full() => {
                // The client asks again, if it still wants to know.
                let what = Cargo::Again { end, source, destination };
                self.post(Passage { from, to, what }, Duration::from_secs(1));
            }
            Some(listener) => listener.connect(end, source, destination, from),
            None => self.refuse(from, to, end, source, destination),
        }
    }

    /// Answers a segment for a connection that does not exist.
    fn refuse(self: &Rc<Self>, from: HostId, to: HostId, end: EndId, source: SocketAddr, destination: SocketAddr) {
        let segment = Segment::stray_reset();
        let what = Cargo::Segment { end: end.other(), source: destination, destination: source, segment };
        self.send(Passage { from: to, to: from, what });
    }
}

/// The system task is there until this is dropped.
struct Driving(Rc<Core>);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.driven.set(false);
    }
}

/// Lets things happen in time, as long as any are to come.
async fn drive(driving: Driving) {
    let core = &driving.0;
    while let Some(next) = core.next_time() {
        move_on_at(next, core.sooner.wait_until(|| core.next_time() != Some(next))).await;
        core.advance();
    }
}

impl State {
    fn insert(&mut self, time: Instant, passage: Passage) {
        let serial = self.new_serial();
        self.events.insert((time, serial), passage);
    }

    pub(super) fn new_serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    fn pop_due(&mut self, now: Instant) -> Option<Passage> {
        let first = self.events.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Keeps a segment until it gets through; all else is lost.
    fn hold(&mut self, passage: Passage) {
        if matches!(passage.what, Cargo::Segment { .. } | Cargo::Again { .. }) {
            self.held.push(passage);
        }
    }

    /// Whether somebody still sends this again: an attempt to connect may have been given up.
    fn is_wanted(&self, passage: &Passage) -> bool {
        match &passage.what {
            Cargo::Segment { end, segment, .. } => !segment.opens() || self.end(end.other()).is_some(),
            _ => true,
        }
    }

    /// Forgets what a host would have sent again.
    pub(super) fn forget_held(&mut self, from: HostId) {
        self.held.retain(|passage| passage.from != from);
    }

    /// Whether nothing gets there.
    fn is_blocked(&self, from: HostId, to: HostId) -> bool {
        self.hosts[to.0].down || (from != to && self.cut.contains(&pair(from, to)))
    }

    fn link(&self, from: HostId, to: HostId) -> Link {
        if from == to { Link::new() } else { self.links.get(&pair(from, to)).copied().unwrap_or(self.default_link) }
    }

    /// How long this many bytes are on the way.
    fn delay(&mut self, from: HostId, to: HostId, bytes: usize, now: Instant) -> Duration {
        let link = self.link(from, to);
        let mut delay = link.latency + self.random.part_of(link.jitter);
        if let Some(bandwidth) = link.bandwidth {
            let begin = self.busy.get(&(from, to)).copied().map_or(now, |busy| busy.max(now));
            let end = begin + Duration::from_secs_f64(bytes as f64 / bandwidth as f64);
            self.busy.insert((from, to), end);
            delay += end - now;
        }
        delay
    }

    fn delay_of_segment(&mut self, from: HostId, to: HostId, bytes: usize, now: Instant) -> Duration {
        let mut delay = self.delay(from, to, bytes, now);
        let loss = self.link(from, to).loss;
        let mut again = RETRANSMISSION;
        for _ in 0..RETRANSMISSIONS {
            if !self.random.happens(loss) {
                break;
            }
            delay += again;
            again *= 2;
        }
        delay
    }

    /// When the copies of a datagram arrive that do: usually one.
    fn copies(&mut self, from: HostId, to: HostId, packet: &UdpPacket) -> Vec<Duration> {
        let Some(now) = now() else { return Vec::new() };
        if self.hosts[from.0].down || self.is_blocked(from, to) {
            return Vec::new();
        }
        let link = self.link(from, to);
        let count = 1 + usize::from(self.random.happens(link.duplication));
        let mut copies = Vec::new();
        for _ in 0..count {
            let mut delay = self.delay(from, to, packet.payload.len(), now);
            if self.random.happens(link.reordering) {
                let most = (link.latency + link.jitter).max(Duration::from_millis(1));
                // At least a part of it that can be seen.
                delay += most / 2 + self.random.part_of(most / 2);
            }
            if !self.random.happens(link.loss) {
                copies.push(delay);
            }
        }
        copies
    }

    // ------------------------------------------------------------------ who is where

    /// The host that has an address, as seen from one.
    pub(super) fn host_of(&self, from: HostId, address: IpAddr) -> Option<HostId> {
        if address.is_loopback() {
            return Some(from);
        }
        self.hosts.iter().position(|host| host.addresses.contains(&address)).map(HostId)
    }

    pub(super) fn datagrams_of(&self, host: HostId) -> Vec<Rc<Datagrams>> {
        self.hosts[host.0].datagrams.iter().filter_map(Weak::upgrade).collect()
    }

    fn listener_at(&self, host: HostId, address: SocketAddr) -> Option<Rc<Listener>> {
        let listeners = self.hosts[host.0].listeners.iter().filter_map(Weak::upgrade);
        // The one of just this address before one of all.
        listeners
            .filter(|listener| covers(listener.local(), address))
            .min_by_key(|found| found.local().ip().is_unspecified())
    }

    fn end(&self, end: EndId) -> Option<Rc<Endpoint>> {
        self.ends.get(&end).and_then(Weak::upgrade)
    }

    /// The address from which a host sends to this one.
    pub(super) fn source_for(&self, host: HostId, destination: IpAddr) -> io::Result<IpAddr> {
        let own = &self.hosts[host.0].addresses;
        if destination.is_loopback() {
            return Ok(loopback(destination.is_ipv4()));
        }
        if own.contains(&destination) {
            return Ok(destination);
        }
        let same_family = own.iter().find(|address| address.is_ipv4() == destination.is_ipv4());
        same_family.copied().ok_or_else(|| os(libc::ENETUNREACH))
    }

    /// Checks that a host can bind a socket to an address, and gives it with a port. `taken`: the others of its kind.
    pub(super) fn claim(
        &mut self,
        host: HostId,
        wanted: SocketAddr,
        taken: impl Fn(&HostState) -> Vec<SocketAddr>,
    ) -> io::Result<SocketAddr> {
        let state = &mut self.hosts[host.0];
        if state.down {
            return Err(os(libc::ENETDOWN));
        }
        let ip = wanted.ip();
        if !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || state.addresses.contains(&ip)) {
            return Err(os(libc::EADDRNOTAVAIL));
        }
        let taken = taken(state);
        let is_free =
            |address: SocketAddr| !taken.iter().any(|other| covers(*other, address) || covers(address, *other));
        if wanted.port() != 0 {
            let address = SocketAddr::new(ip, wanted.port());
            return if is_free(address) { Ok(address) } else { Err(os(libc::EADDRINUSE)) };
        }
        for _ in FIRST_EPHEMERAL..=u16::MAX {
            let address = SocketAddr::new(ip, state.next_port.max(FIRST_EPHEMERAL));
            state.next_port = address.port().wrapping_add(1);
            if is_free(address) {
                return Ok(address);
            }
        }
        Err(os(libc::EADDRINUSE))
    }

    /// The addresses of this end of a host's connections.
    pub(super) fn connected_from(&self, host: HostId) -> Vec<SocketAddr> {
        let ends = self.ends.values().filter_map(Weak::upgrade);
        ends.filter(|end| end.host() == host).map(|end| end.local()).collect()
    }
}

/// Whether a socket that is bound to one address is reached at another.
pub(super) fn covers(bound: SocketAddr, address: SocketAddr) -> bool {
    let same_family = bound.is_ipv4() == address.is_ipv4();
    same_family && bound.port() == address.port() && (bound.ip().is_unspecified() || bound.ip() == address.ip())
}

pub(super) fn loopback(v4: bool) -> IpAddr {
    if v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
}
