//! The calls of applications (RFC 9293, section 3.9.1).

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};

use super::Tcp;
use super::config::ListenOptions;
use super::conn::Connection;
use super::demux::Slot;
use super::event::{ConnId, ConnectError, FlowEvent, ListenError, ListenerId, SocketError, State};
use super::listen::Listener;
use crate::packet::Pool;
use crate::seq::SeqNum;
use crate::time::Instant;

impl Tcp {
    /// Passive OPEN: listens on `port` of `address`, or of every address.
    ///
    /// # Errors
    /// If this is listened on already. One address and every address are not the same.
    pub fn listen(
        &mut self,
        address: Option<IpAddr>,
        port: u16,
        options: ListenOptions,
    ) -> Result<ListenerId, ListenError> {
        if port == 0 {
            return Err(ListenError::PortZero);
        }
        if self.demux.is_listening(address, port) {
            return Err(ListenError::InUse);
        }
        let generation = self.next_generation();
        // Listeners are fewer than 2^32: each takes more than a byte.
        let index = self.listeners.insert(Listener::new(address, port, options, generation)) as u32;
        self.demux.listen(address, port, index);
        self.flow(FlowEvent::Listening { address, port });
        Ok(ListenerId { index, generation })
    }

    /// Changes the settings of a listener, for the SYNs that come from now on.
    pub fn set_listen_options(&mut self, id: ListenerId, options: ListenOptions) {
        let listener = self.listeners.get_mut(id.index as usize).filter(|found| found.generation == id.generation);
        if let Some(listener) = listener {
            listener.options = options;
        }
    }

    /// The next connection that was established; `None` if there is none, and then an event tells
    /// of the next.
    pub fn accept(&mut self, id: ListenerId) -> Option<ConnId> {
        let listener = self.listeners.get_mut(id.index as usize).filter(|found| found.generation == id.generation)?;
        let next = listener.accept_queue.pop_front();
        listener.waits = next.is_none();
        if let Some(conn) = next.and_then(|id| self.find_mut(id).ok()) {
            conn.in_accept_queue = false;
        }
        next
    }

    /// Stops listening. Connections that were accepted live on (R7); those that wait are reset, and
    /// half-open ones are forgotten.
    pub fn close_listener(&mut self, now: Instant, id: ListenerId) {
        if self.listeners.get(id.index as usize).is_none_or(|found| found.generation != id.generation) {
            return;
        }
        let listener = self.listeners.remove(id.index as usize);
        self.demux.unlisten(listener.address, listener.port);
        for slot in self.half_open.of_listener(&listener) {
            // Their peers hear of it when they go on (RFC 9293, 3.10.7.1).
            self.remove_half_open(slot);
        }
        for conn in listener.accept_queue {
            // What they have received is freed, not kept in a pool.
            self.abort_connection(now, conn, &mut Pool::new(0));
        }
        self.flow(FlowEvent::Unlistening { address: listener.address, port: listener.port });
    }

    /// Active OPEN. With port zero in `local` an ephemeral port is chosen.
    ///
    /// # Errors
    /// If the addresses do not fit together, or all ports that could serve are taken.
    pub fn connect(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr) -> Result<ConnId, ConnectError> {
        let unusable = remote.port() == 0 || remote.ip().is_unspecified() || remote.ip().is_multicast();
        if unusable || local.is_ipv4() != remote.is_ipv4() {
            return Err(ConnectError::InvalidRemote);
        }
        let mut local = local;
        if local.port() == 0 {
            let demux = &self.demux;
            let free = |port| demux.find(SocketAddr::new(local.ip(), port), remote).is_none();
            let port = self.secrets.ephemeral_port(&self.config.ephemeral_ports, local, remote, free);
            local.set_port(port.ok_or(ConnectError::PortsExhausted)?);
        }
        let iss = match self.demux.find(local, remote) {
            None => self.secrets.initial_sequence(now, local, remote),
            Some(Slot::TimeWait(slot)) => self.take_time_wait(now, slot).ok_or(ConnectError::InUse)?,
            Some(_) => return Err(ConnectError::InUse),
        };
        let generation = self.next_generation();
        let offset = self.config.timestamps.then(|| self.secrets.timestamp_offset(local, remote));
        let conn = Connection::connect(now, (local, remote), iss, offset, generation, &self.config);
        // Connections are fewer than 2^32: each takes more than a byte.
        let index = self.connections.insert(Box::new(conn)) as u32;
        self.demux.insert(local, remote, Slot::Connection(index));
        self.counters.active_opens += 1;
        self.opened(local, remote, iss.0, false);
        self.settle(now, index);
        Ok(ConnId { index, generation })
    }

    /// Takes over from a TIME_WAIT record, if it may be (RFC 6191).
    fn take_time_wait(&mut self, now: Instant, slot: u32) -> Option<SeqNum> {
        let iss = self.time_wait.get_mut(slot)?.active_reuse(now)?;
        self.remove_time_wait(slot);
        self.counters.time_wait_reused += 1;
        Some(iss)
    }

    /// SEND: takes as much of `data` as there is room for.
    ///
    /// # Errors
    /// [`SocketError::WouldBlock`] if there is no room; an event tells when there is.
    pub fn send(&mut self, now: Instant, id: ConnId, data: &[u8]) -> Result<usize, SocketError> {
        self.send_vectored(now, id, &[IoSlice::new(data)])
    }

    /// The same for data in several slices.
    ///
    /// # Errors
    /// As [`send`](Tcp::send).
    pub fn send_vectored(&mut self, now: Instant, id: ConnId, data: &[IoSlice<'_>]) -> Result<usize, SocketError> {
        self.send_more(now, id, data, false)
    }

    /// The same; with `more` (MSG_MORE) what makes no full segment waits for what follows.
    ///
    /// # Errors
    /// As [`send`](Tcp::send).
    pub fn send_more(
        &mut self,
        now: Instant,
        id: ConnId,
        data: &[IoSlice<'_>],
        more: bool,
    ) -> Result<usize, SocketError> {
        self.find(id)?;
        // Nothing is received here: no buffer goes back to a pool.
        let mut pool = Pool::new(0);
        let sent = self.with_connection(id.index, &mut pool, |conn, _, memory| conn.send_call(now, data, more, memory));
        self.settle(now, id.index);
        sent.unwrap_or(Err(SocketError::Unknown))
    }

    /// RECEIVE: moves bytes to `buffer`; zero means that the peer has closed its side.
    ///
    /// # Errors
    /// [`SocketError::WouldBlock`] if there is nothing yet; an event tells when there is.
    pub fn recv(&mut self, now: Instant, id: ConnId, buffer: &mut [u8], pool: &mut Pool) -> Result<usize, SocketError> {
        let mut done = 0;
        self.recv_with(now, id, buffer.len(), pool, &mut |bytes| {
            buffer[done..done + bytes.len()].copy_from_slice(bytes);
            done += bytes.len();
        })
    }

    /// The same for whoever has no initialized buffer: `take` gets at most `max` bytes, slice by slice.
    ///
    /// # Errors
    /// As [`recv`](Tcp::recv).
    pub fn recv_with(
        &mut self,
        now: Instant,
        id: ConnId,
        max: usize,
        pool: &mut Pool,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, SocketError> {
        self.find(id)?;
        let received =
            self.with_connection(id.index, pool, |conn, cx, memory| conn.receive_call(now, max, take, cx, memory));
        if let Some(Ok(1..)) = received {
            // A window update may be due.
            self.settle(now, id.index);
        }
        received.unwrap_or(Err(SocketError::Unknown))
    }

    /// CLOSE of the sending side: what was sent goes out, then a FIN. Receiving goes on.
    pub fn shutdown_write(&mut self, now: Instant, id: ConnId) {
        if self.find(id).is_ok() {
            self.connections[id.index as usize].shutdown_write();
            self.settle(now, id.index);
        }
    }

    /// CLOSE: releases the handle. What was sent goes out, then a FIN; if received data is left
    /// unread, or lingering is zero, a RST goes instead (RFC 2525, 2.17).
    pub fn close(&mut self, now: Instant, id: ConnId, pool: &mut Pool) {
        if self.find(id).is_ok() {
            self.with_connection(id.index, pool, |conn, cx, memory| conn.close_call(now, cx, memory));
            self.settle(now, id.index);
        }
    }

    /// ABORT: releases the handle, drops what was sent, and resets the peer.
    pub fn abort(&mut self, now: Instant, id: ConnId, pool: &mut Pool) {
        self.abort_connection(now, id, pool);
    }

    /// Ends every connection whose own and other end `which` says yes to, those that their application has
    /// closed already too: peers are reset, and who holds one is told, as if its peer had. Records of half-open
    /// connections and of TIME_WAIT are forgotten.
    pub fn abort_all(&mut self, now: Instant, which: impl Fn(SocketAddr, SocketAddr) -> bool, pool: &mut Pool) {
        let chosen = self.connections.iter().filter(|(_, conn)| !conn.detached && which(conn.local, conn.remote));
        for index in chosen.map(|(index, _)| index as u32).collect::<Vec<_>>() {
            self.with_connection(index, pool, |conn, cx, memory| conn.break_off(now, cx, memory));
            self.settle(now, index);
        }
        for slot in self.half_open.between(&which) {
            self.remove_half_open(slot);
        }
        for slot in self.time_wait.between(which) {
            self.remove_time_wait(slot);
        }
    }

    fn abort_connection(&mut self, now: Instant, id: ConnId, pool: &mut Pool) {
        let Ok(conn) = self.find(id) else { return };
        let detached = conn.detached;
        self.with_connection(id.index, pool, |conn, cx, memory| conn.abort_call(now, cx, memory));
        if detached {
            self.connections.remove(id.index as usize);
        } else {
            self.leave(id.index);
        }
    }

    /// Our side of a connection.
    ///
    /// # Errors
    /// If the handle was released.
    pub fn local_addr(&self, id: ConnId) -> Result<SocketAddr, SocketError> {
        Ok(self.find(id)?.local)
    }

    /// The other side of a connection.
    ///
    /// # Errors
    /// If the handle was released.
    pub fn peer_addr(&self, id: ConnId) -> Result<SocketAddr, SocketError> {
        Ok(self.find(id)?.remote)
    }

    /// STATUS.
    ///
    /// # Errors
    /// If the handle was released.
    pub fn state(&self, id: ConnId) -> Result<State, SocketError> {
        Ok(self.find(id)?.state)
    }

    pub(super) fn find(&self, id: ConnId) -> Result<&Connection, SocketError> {
        let conn = self.connections.get(id.index as usize);
        let conn = conn.filter(|conn| conn.generation == id.generation && conn.held);
        conn.map(|conn| &**conn).ok_or(SocketError::Unknown)
    }

    pub(super) fn find_mut(&mut self, id: ConnId) -> Result<&mut Connection, SocketError> {
        let conn = self.connections.get_mut(id.index as usize);
        let conn = conn.filter(|conn| conn.generation == id.generation && conn.held);
        conn.map(|conn| &mut **conn).ok_or(SocketError::Unknown)
    }
}
