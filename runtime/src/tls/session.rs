//! The state of a TLS stream, without its transport: nothing in here waits.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustls::{Connection, ProtocolVersion};

use super::error::{NeedHandshakeError, TlsError};
use crate::kernel::reactor::ClosedResourceError;
use crate::sync::BrokenResourceError;

/// How much is asked of the transport at first, and then at most, if it has as much as it is asked for again and again.
const ROOM: usize = 4 * 1024;
const MOST_ROOM: usize = 64 * 1024;

/// How much is encrypted before it is sent: four records of the largest size.
const ROUND: usize = 64 * 1024;

/// The length of a record's header, whose last two bytes are the length of the rest.
const HEADER: usize = 5;

/// What the user can do with the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// TLS has failed, or the handshake has.
    Broken,
    Closed,
}

/// rustls' side of the stream, and the records that are on their way between it and the transport.
///
/// They are kept here, and not in the operations, so that nothing is lost or sent twice when those are dropped.
pub(super) struct Session {
    /// Boxed: it is large, and a stream should be cheap to move.
    connection: Box<Connection>,
    state: State,
    /// Why it is broken, if the operation that met it was given up before it could tell: the next one does.
    untold: Cell<Option<TlsError>>,
    /// Done, and our part of it has been sent.
    handshaken: bool,
    /// An end without `close_notify` is as good as one with it; and we send none.
    pub(super) https_compatible: bool,

    incoming: Incoming,
    /// What is received into, when nobody does so.
    room: Vec<u8>,
    /// The transport has ended.
    transport_ended: bool,
    /// It did so before the handshake was done, and that is fine.
    pub(super) ended_before_handshake: bool,
    /// The user does not want to receive any more.
    receiving_closed: bool,

    /// Records that the transport has not taken yet. The first one may have been sent in part.
    outgoing: Vec<u8>,
    /// The beginning of the outgoing records is with an operation that sends them.
    in_flight: bool,
    /// Sending was begun and has not succeeded yet: the transport may hold some of it back, as TLS itself does.
    interrupted: bool,
    /// The user will send nothing more.
    sending_closed: bool,
    /// rustls was told to say so (with a `close_notify`), which is possible once.
    end_said: bool,
    /// That has been sent.
    end_sent: bool,
    /// The transport can't send any more, or nobody knows how much of a record it has sent.
    sending_broken: bool,
}

/// What came from the transport and has not been given to rustls.
#[derive(Default)]
struct Incoming {
    bytes: Vec<u8>,
    start: usize,
    /// How much is missing of the record whose beginning has been given to rustls.
    record_left: usize,
}

impl Session {
    pub(super) fn new(mut connection: Connection) -> Self {
        // What is given to it is limited by us.
        connection.set_buffer_limit(None);
        Self {
            connection: Box::new(connection),
            state: State::Open,
            untold: Cell::new(None),
            handshaken: false,
            https_compatible: false,
            incoming: Incoming::default(),
            room: Vec::new(),
            transport_ended: false,
            ended_before_handshake: false,
            receiving_closed: false,
            outgoing: Vec::new(),
            in_flight: false,
            interrupted: false,
            sending_closed: false,
            end_said: false,
            end_sent: false,
            sending_broken: false,
        }
    }

    // ------------------------------------------------------------------ what is allowed

    pub(super) fn check_open(&self) -> io::Result<()> {
        match self.state {
            State::Open => Ok(()),
            State::Broken => Err(self.untold.take().map_or_else(BrokenResourceError::of_stream, io::Error::from)),
            State::Closed => Err(io::Error::other(ClosedResourceError)),
        }
    }

    pub(super) fn check_sending(&self) -> io::Result<()> {
        if self.sending_closed {
            return Err(io::Error::other(ClosedResourceError));
        }
        self.check_transport_sends()
    }

    /// As `check_sending`, for what is sent though the user sends nothing more.
    pub(super) fn check_transport_sends(&self) -> io::Result<()> {
        self.check_open()?;
        if self.sending_broken { Err(BrokenResourceError::of_stream()) } else { Ok(()) }
    }

    pub(super) fn check_receiving(&self) -> io::Result<()> {
        if self.receiving_closed {
            return Err(io::Error::other(ClosedResourceError));
        }
        self.check_open()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    pub(super) fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    pub(super) fn is_handshaken(&self) -> bool {
        self.handshaken
    }

    pub(super) fn is_sending_closed(&self) -> bool {
        self.sending_closed
    }

    pub(super) fn has_said_end(&self) -> bool {
        self.end_said
    }

    pub(super) fn has_sent_end(&self) -> bool {
        self.end_sent
    }

    pub(super) fn is_sending_broken(&self) -> bool {
        self.sending_broken
    }

    /// An operation that was to tell of this was given up.
    pub(super) fn keep_untold(&self, error: TlsError) {
        self.untold.set(Some(error));
    }

    pub(super) fn break_all(&mut self) {
        if self.state == State::Open {
            self.state = State::Broken;
        }
    }

    pub(super) fn break_sending(&mut self) {
        self.sending_broken = true;
        self.outgoing = Vec::new();
    }

    pub(super) fn close(&mut self) {
        self.state = State::Closed;
        (self.outgoing, self.incoming, self.room) = (Vec::new(), Incoming::default(), Vec::new());
    }

    pub(super) fn close_receiving(&mut self) {
        self.receiving_closed = true;
    }

    // ------------------------------------------------------------------ the handshake

    /// Goes on with the handshake as far as what has come allows. True if it is done; it counts as such when what it
    /// has left to send is sent.
    pub(super) fn advance_handshake(&mut self) -> Result<bool, TlsError> {
        while self.connection.is_handshaking() {
            if !self.feed()? {
                return if self.transport_ended { Err(self.truncated()) } else { Ok(false) };
            }
        }
        Ok(true)
    }

    /// Whether there is something that the other side needs to go on with the handshake.
    ///
    /// That is anything but the tickets that a server has for its client when all is over. Those wait until there is
    /// data to send as well: a client that only sends may not look for them, and we would wait for ever.
    pub(super) fn must_send_for_handshake(&mut self) -> bool {
        let only_tickets = matches!(*self.connection, Connection::Server(_))
            && self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
            && !self.connection.is_handshaking();
        self.interrupted || (self.has_outgoing() && !only_tickets)
    }

    pub(super) fn finish_handshake(&mut self) {
        self.handshaken = true;
    }

    // ------------------------------------------------------------------ receiving

    /// Gives what has come to rustls until there is data, or the end: then true.
    pub(super) fn advance(&mut self) -> Result<bool, TlsError> {
        loop {
            if self.has_plaintext()? || self.has_ended() {
                return Ok(true);
            }
            if !self.feed()? {
                return match self.transport_ended {
                    true if self.https_compatible => Ok(true),
                    true => Err(self.truncated()),
                    false => Ok(false),
                };
            }
        }
    }

    /// The other side has said that this is the end.
    pub(super) fn has_ended(&mut self) -> bool {
        // This only reports.
        self.connection.process_new_packets().is_ok_and(|state| state.peer_has_closed())
    }

    fn has_plaintext(&mut self) -> Result<bool, TlsError> {
        Ok(self.process()?.plaintext_bytes_to_read() > 0)
    }

    /// Data that [`advance`](Self::advance) has found; 0 if it has found the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.connection.reader().read(buffer) {
            // There is none, and there will be none.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    fn truncated(&mut self) -> TlsError {
        self.break_all();
        TlsError::Truncated
    }

    /// Gives a piece of what has come to rustls, at most to the end of a record, since what follows the last one is not
    /// rustls's. False if there is nothing to give.
    fn feed(&mut self) -> Result<bool, TlsError> {
        let Some(mut piece) = self.incoming.piece() else { return Ok(false) };
        while !piece.is_empty() {
            let fed = match self.connection.read_tls(&mut piece) {
                Ok(1..) => process_fed(&mut self.connection, self.end_said),
                // It has room for a whole record, and looks at each before it is given another.
                other => Err(rustls::Error::General(format!("no room for a record: {other:?}"))),
            };
            if let Err(error) = fed {
                // There may be an alert to send.
                self.collect();
                self.break_all();
                return Err(error.into());
            }
        }
        Ok(true)
    }

    fn process(&mut self) -> Result<rustls::IoState, TlsError> {
        Ok(self.connection.process_new_packets()?)
    }

    /// Room for what the transport has. [`give_room_back`](Self::give_room_back).
    pub(super) fn take_room(&mut self) -> Vec<u8> {
        let mut room = std::mem::take(&mut self.room);
        room.resize(room.len().max(ROOM), 0);
        room
    }

    pub(super) fn give_room_back(&mut self, room: Vec<u8>) {
        self.room = room;
    }

    /// This much of the room was filled; nothing is the transport's end.
    pub(super) fn received(&mut self, room: &mut Vec<u8>, count: usize) {
        let data = &room[..count];
        self.transport_ended |= data.is_empty();
        self.incoming.bytes.drain(..self.incoming.start);
        self.incoming.start = 0;
        self.incoming.bytes.extend_from_slice(data);
        if count == room.len() && count < MOST_ROOM {
            // Each call of the system costs as much as to decrypt some records.
            room.resize(2 * count, 0);
        }
    }

    /// Fails unless all data was received, up to the other side's word that this is the end.
    pub(super) fn check_ended(&mut self) -> io::Result<()> {
        if self.has_plaintext()? {
            Err(TlsError::UnreceivedData.into())
        } else if self.has_ended() {
            Ok(())
        } else {
            Err(TlsError::Truncated.into())
        }
    }

    /// What came after the last record.
    pub(super) fn trailing(&self) -> Vec<u8> {
        self.incoming.bytes[self.incoming.start..].to_vec()
    }

    // ------------------------------------------------------------------ sending

    /// Encrypts some of the data, and gives how much.
    pub(super) fn encrypt(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.connection.writer().write(&data[..data.len().min(ROUND)])?;
        self.collect();
        if count == 0 { Err(BrokenResourceError::of_stream()) } else { Ok(count) }
    }

    /// Says that nothing more will come. Once: rustls says it only the first time.
    pub(super) fn send_close_notify(&mut self) {
        (self.sending_closed, self.end_said) = (true, true);
        self.connection.send_close_notify();
        self.collect();
    }

    /// The user does not want to send any more.
    pub(super) fn close_sending(&mut self) {
        self.sending_closed = true;
    }

    /// All that there was to send has been sent, and with it the end.
    pub(super) fn end_is_sent(&mut self) {
        self.end_sent = true;
    }

    /// Asks for new keys.
    pub(super) fn refresh_keys(&mut self) -> Result<(), TlsError> {
        self.connection.refresh_traffic_keys()?;
        self.collect();
        Ok(())
    }

    fn collect(&mut self) {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.outgoing).expect("a vector takes everything");
        }
    }

    fn has_outgoing(&mut self) -> bool {
        self.collect();
        !self.outgoing.is_empty()
    }

    /// Whether there is so much to send that no more should be added.
    pub(super) fn is_clogged(&self) -> bool {
        self.outgoing.len() >= ROUND
    }

    /// Whether something is left to send that an operation has begun to send.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// The records to send, which is up to the caller then; `None` if there is nothing to do. Records without a byte
    /// are for the transport to send what it has left. [`land`](Self::land).
    pub(super) fn take_off(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.in_flight {
            // Somebody has forgotten an operation, and with it the beginning of what should be sent.
            self.break_sending();
        }
        if self.sending_broken {
            return Err(BrokenResourceError::of_stream());
        }
        if !self.has_outgoing() && !self.interrupted {
            return Ok(None);
        }
        (self.in_flight, self.interrupted) = (true, true);
        Ok(Some(std::mem::take(&mut self.outgoing)))
    }

    /// So many bytes of these records have been sent; `None` if nobody knows. That is so as well if it was more than there
    /// are, by the account of a stream that can't count.
    pub(super) fn land(&mut self, mut records: Vec<u8>, sent: Option<usize>) {
        self.in_flight = false;
        let Some(sent) = sent.filter(|sent| *sent <= records.len()) else { return self.break_sending() };
        records.drain(..sent);
        records.append(&mut self.outgoing);
        self.outgoing = records;
    }

    /// All that was taken off has been sent.
    pub(super) fn succeeded(&mut self) {
        self.interrupted = false;
    }

    // ------------------------------------------------------------------ what is known of the other side

    /// What is known after the handshake.
    pub(super) fn connection(&self) -> Result<&Connection, NeedHandshakeError> {
        if self.handshaken { Ok(&self.connection) } else { Err(NeedHandshakeError) }
    }

    pub(super) fn is_server(&self) -> bool {
        matches!(*self.connection, Connection::Server(_))
    }
}

/// Has rustls look at what it was given.
fn process_fed(connection: &mut Connection, end_said: bool) -> Result<(), rustls::Error> {
    if !end_said {
        return connection.process_new_packets().map(drop);
    }
    // With debug assertions, rustls 0.23 takes it for a bug of its own when it has an alert to send after the end was
    // said, though it is the other side's doing.
    let processed = catch_unwind(AssertUnwindSafe(|| connection.process_new_packets().map(drop)));
    processed.unwrap_or_else(|_| Err(rustls::Error::General("the other side breaks the protocol".to_owned())))
}

impl Incoming {
    /// Up to the end of a record, if there is enough to know where that is.
    fn piece(&mut self) -> Option<&[u8]> {
        let waiting = &self.bytes[self.start..];
        if self.record_left == 0 {
            let header = waiting.first_chunk::<HEADER>()?;
            self.record_left = HEADER + usize::from(u16::from_be_bytes([header[3], header[4]]));
        }
        let length = self.record_left.min(waiting.len());
        self.start += length;
        self.record_left -= length;
        (length > 0).then_some(&waiting[..length])
    }
}
