//! Sealed XCF datagrams: who has the cluster's key can read and write them, nobody else can.
//!
//! ```text
//!  0       1       2       3       4               8
//! +-------+-------+-------+-------+---------------+-------------------------------+
//! |  'X'  |version| marks |   0   |     salt      |       life of the sender      |
//! +-------+-------+-------+-------+---------------+-------------------------------+
//! |            counter            |     XCF address of the sender (v4-mapped) ...
//! +-------------------------------+-------------------------------+---------------+
//!   ... XCF address of the sender |  life of the receiver, or 0   | ciphertext ... tag (16)
//! +-------------------------------+-------------------------------+---------------+
//! ```
//!
//! AES-128-GCM (RFC 5116) with the nonce salt ‖ counter and the 48 bytes of the header as associated
//! data. Each direction between two lives has a key of its own, made from the cluster's by HKDF
//! (RFC 5869), so that no nonce ever comes twice under one key. The receiver's life is part of it:
//! nothing recorded before a stack's start means anything to it. A stack that does not know that life
//! yet leaves it 0; then only control datagrams are taken in, for a HELLO must begin it all.
//!
//! A life that only an unaddressed datagram told may be that of a recording. Until an addressed one
//! proves it, control datagrams go both ways, addressed and not: a recording cannot keep two stacks
//! from each other.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use vipa::wire::Datagram;

use super::refusals::Cause;
use super::window::Window;
use crate::key::ClusterKey;

/// Bytes before the sealed content.
pub(super) const HEADER: usize = 48;
/// Bytes behind it.
pub(super) const TAG: usize = 16;

const MAGIC: [u8; 2] = [b'X', 1];
/// Nothing is carried: the sender wanted the XCF address that the receiver has.
const CLAIM: u8 = 1;
/// Goes into every key, so that the cluster's key serves nothing else by accident.
const LABEL: &[u8] = b"cluster-lab XCF 1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    claim: bool,
    salt: [u8; 4],
    life: u64,
    counter: u64,
    sender: IpAddr,
    /// 0 for no life in particular.
    receiver_life: u64,
}

impl Header {
    fn emit(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..2].copy_from_slice(&MAGIC);
        bytes[2] = if self.claim { CLAIM } else { 0 };
        bytes[4..8].copy_from_slice(&self.salt);
        bytes[8..16].copy_from_slice(&self.life.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.counter.to_be_bytes());
        bytes[24..40].copy_from_slice(&mapped(self.sender));
        bytes[40..].copy_from_slice(&self.receiver_life.to_be_bytes());
        bytes
    }

    fn parse(bytes: &[u8; HEADER]) -> Option<Header> {
        let u64_at = |at: usize| bytes[at..].first_chunk().map(|number| u64::from_be_bytes(*number));
        let claim = bytes[2] & CLAIM != 0;
        let known = bytes[..2] == MAGIC && bytes[2] & !CLAIM == 0 && bytes[3] == 0;
        let header = Header {
            claim,
            salt: *bytes[4..].first_chunk()?,
            life: u64_at(8)?,
            counter: u64_at(16)?,
            sender: IpAddr::V6(Ipv6Addr::from(*bytes[24..].first_chunk::<16>()?)).to_canonical(),
            receiver_life: u64_at(40)?,
        };
        // No life has the number 0; a claim is for whatever life has the address.
        (known && header.life != 0 && !(claim && header.receiver_life != 0)).then_some(header)
    }

    fn nonce(&self) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.salt);
        nonce[4..].copy_from_slice(&self.counter.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }
}

fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// One end of a direction: a stack and its life, or 0 for any.
type End = (IpAddr, u64);

/// The key of the direction from one life of one stack to another's.
fn derive(key: &Prk, from: End, to: End) -> Option<LessSafeKey> {
    let (sender, receiver) = (mapped(from.0), mapped(to.0));
    let info = [LABEL, &sender, &from.1.to_be_bytes(), &receiver, &to.1.to_be_bytes()];
    let key = UnboundKey::from(key.expand(&info, &AES_128_GCM).ok()?);
    Some(LessSafeKey::new(key))
}

/// What is known of another stack.
#[derive(Default)]
struct Peer {
    /// Counts the datagrams to it.
    counter: u64,
    /// The keys towards it: for no life of it, and for [`life`](Peer::life).
    to_any: Option<LessSafeKey>,
    to_life: Option<LessSafeKey>,
    /// Its latest life that has been heard of; 0 for none.
    life: u64,
    /// That life has answered this one: it is no recording.
    proven: bool,
    window: Window,
    /// The keys from that life: to no life of this stack, and to the present one.
    from_to_any: Option<LessSafeKey>,
    from_to_life: Option<LessSafeKey>,
}

/// A datagram that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// Content for this stack, in place behind the header.
    Content {
        /// XCF address of the sender.
        from: IpAddr,
        /// Length of the content.
        len: usize,
    },
    /// Another process wanted this stack's XCF address.
    Claim {
        /// The life that it would have had.
        life: u64,
    },
}

/// Seals what one life of a stack sends, and opens what it receives. No socket and no clock.
pub(super) struct Seal {
    own: IpAddr,
    life: u64,
    salt: [u8; 4],
    key: Prk,
    /// Every stack that may be heard; its own address too, for claims.
    peers: HashMap<IpAddr, Peer>,
}

impl Seal {
    /// For a life of the stack `own`, which is not 0. `salt` is random.
    pub fn new(key: &ClusterKey, own: IpAddr, life: u64, salt: [u8; 4], peers: impl Iterator<Item = IpAddr>) -> Seal {
        let key = Salt::new(HKDF_SHA256, LABEL).extract(key.bytes());
        let peers = peers.chain([own]).map(|peer| (peer, Peer::default())).collect();
        Seal { own, life, salt, key, peers }
    }

    /// The lives of `to` for which a datagram is to be sealed, 0 for none in particular: one, or
    /// while its life is uncertain two, or none if it could not be taken in.
    pub fn receivers(&self, to: IpAddr, control: bool) -> [Option<u64>; 2] {
        match self.peers.get(&to) {
            Some(peer) if peer.proven => [Some(peer.life), None],
            Some(peer) => [Some(peer.life).filter(|life| *life != 0), Some(0).filter(|_| control)],
            None => [None; 2],
        }
    }

    /// The life of a peer that has answered this one.
    pub fn proven_life(&self, peer: IpAddr) -> Option<u64> {
        self.peers.get(&peer).filter(|peer| peer.proven).map(|peer| peer.life)
    }

    /// Seals the content that lies in `datagram` between room for the header and for the tag, for
    /// one of the [`receivers`](Seal::receivers) of it. `None` if there is no such peer.
    pub fn seal(&mut self, to: IpAddr, receiver_life: u64, datagram: &mut [u8]) -> Option<()> {
        self.put(to, receiver_life, false, datagram)
    }

    /// Seals a claim to this stack's own address, for the stack that has it: as
    /// [`seal`](Seal::seal), without content.
    pub fn seal_claim(&mut self, datagram: &mut [u8; HEADER + TAG]) -> Option<()> {
        self.put(self.own, 0, true, datagram)
    }

    fn put(&mut self, to: IpAddr, receiver_life: u64, claim: bool, datagram: &mut [u8]) -> Option<()> {
        let own = (self.own, self.life);
        let peer = self.peers.get_mut(&to)?;
        let slot = match receiver_life {
            0 => &mut peer.to_any,
            life if life == peer.life => &mut peer.to_life,
            _ => return None,
        };
        if slot.is_none() {
            *slot = derive(&self.key, own, (to, receiver_life));
        }
        let (salt, counter) = (self.salt, peer.counter);
        let header = Header { claim, salt, life: own.1, counter, sender: own.0, receiver_life };
        peer.counter += 1;
        let (head, rest) = datagram.split_first_chunk_mut::<HEADER>()?;
        let (content, tag) = rest.split_last_chunk_mut::<TAG>()?;
        *head = header.emit();
        let made = slot.as_ref()?.seal_in_place_separate_tag(header.nonce(), Aad::from(&*head), content).ok()?;
        tag.copy_from_slice(made.as_ref());
        Some(())
    }

    /// Opens a datagram in place, once.
    ///
    /// # Errors
    /// Why it is to be dropped; nothing has changed then, except that a peer's life may be known now.
    pub fn open(&mut self, datagram: &mut [u8]) -> Result<Opened, Cause> {
        let (head, sealed) = datagram.split_first_chunk_mut::<HEADER>().ok_or(Cause::Malformed)?;
        let len = sealed.len().checked_sub(TAG).ok_or(Cause::Malformed)?;
        let header = Header::parse(head).ok_or(Cause::Malformed)?;
        // What this stack sent itself is nobody's: only a claim bears its own address.
        if header.claim != (header.sender == self.own) {
            return Err(Cause::Forged);
        }
        let peer = self.peers.get_mut(&header.sender).ok_or(Cause::Forged)?;
        let addressed = header.receiver_life != 0;
        if addressed && header.receiver_life != self.life {
            return Err(Cause::Misaddressed);
        }
        if header.life < peer.life {
            return Err(Cause::Stale);
        }
        let known = header.life == peer.life;
        let cached = if addressed { &peer.from_to_life } else { &peer.from_to_any };
        let mut derived = None;
        let key = match cached {
            Some(key) if known => key,
            _ => {
                let (from, to) = ((header.sender, header.life), (self.own, header.receiver_life));
                derived.insert(derive(&self.key, from, to).ok_or(Cause::Forged)?)
            }
        };
        key.open_in_place(header.nonce(), Aad::from(&*head), sealed).map_err(|_| Cause::Forged)?;
        // From here on the sender is who it says.
        if known && !peer.window.is_fresh(header.counter) {
            return Err(Cause::Replayed);
        }
        if !known {
            // A new life of it: of the former one only the count of what was sent to it stays.
            *peer = Peer { life: header.life, counter: peer.counter, to_any: peer.to_any.take(), ..Peer::default() };
        }
        if derived.is_some() {
            *(if addressed { &mut peer.from_to_life } else { &mut peer.from_to_any }) = derived;
        }
        peer.window.note(header.counter);
        peer.proven |= addressed;
        if header.claim {
            return Ok(Opened::Claim { life: header.life });
        }
        if !addressed && vipa::wire::classify(&sealed[..len]) != Datagram::Control {
            return Err(Cause::Unaddressed);
        }
        Ok(Opened::Content { from: header.sender, len })
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").field("own", &self.own).field("life", &self.life).finish_non_exhaustive()
    }
}
