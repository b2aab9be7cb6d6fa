//! What crosses the networks, and what becomes of it there.

use std::net::IpAddr;
use std::time::Duration;

use super::image::{addresses, digest, segment};
use super::layout;
use super::observer::Life;
use super::plan::Weather;
use super::world::{Input, Who, World};

impl World {
    /// A packet from the client's side: it goes where the network's route leads.
    pub fn clients_packet(&mut self, bytes: Vec<u8>) {
        let Some(index) = addresses(&bytes).and_then(|(_, destination)| self.routes.get(&destination).copied()) else {
            return;
        };
        if self.random.percent(self.network.fragmented) && bytes.len() > 120 {
            return self.clients_piecewise(index, &bytes);
        }
        self.through_network(Who::Image(index), bytes);
    }

    fn clients_piecewise(&mut self, index: usize, bytes: &[u8]) {
        self.identification = self.identification.wrapping_add(1).max(1);
        if let Some(seen) = segment(bytes) {
            self.observer.fragmented.insert(self.identification, seen.flow);
        }
        self.cover("fault: fragments");
        let payload = &bytes[20..];
        // Eight bytes at the least before the cut: the ports are in the first piece.
        let cut = 64;
        for (offset, part) in [(0, &payload[..cut]), (cut, &payload[cut..])] {
            if offset == 0 && self.random.percent(self.network.headless) {
                self.cover("fault: first fragment missing");
                continue;
            }
            let mut piece = bytes[..20].to_vec();
            piece[4..6].copy_from_slice(&self.identification.to_be_bytes());
            stack::wire::ip::set_fragment(&mut piece, offset, offset == 0, part.len());
            piece.extend(part);
            self.through_network(Who::Image(index), piece);
        }
    }

    pub fn through_network(&mut self, to: Who, bytes: Vec<u8>) {
        let weather = self.network;
        for _ in 0..self.copies(weather) {
            let after = Duration::from_micros(20 + self.random.below(weather.delay.max(1)));
            self.later(after, to, Input::Network(bytes.clone()));
        }
    }

    fn copies(&mut self, weather: Weather) -> u32 {
        match (self.random.percent(weather.loss), self.random.percent(weather.doubled)) {
            (true, _) => 0,
            (false, doubled) => 1 + u32::from(doubled),
        }
    }

    /// R14: what a life that is over has said comes again.
    pub fn late(&mut self, which: u64) -> bool {
        let over = |(life, _): &&(Life, usize)| self.life(life.0) != Some(*life);
        let over: Vec<(Life, usize)> = self.first_words.keys().filter(over).copied().collect();
        let Some((life, to)) = over.get((which % over.len().max(1) as u64) as usize).copied() else { return false };
        for (order, bytes) in self.first_words.remove(&(life, to)).into_iter().flatten().enumerate() {
            let after = Duration::from_micros(20 + order as u64);
            self.later(after, Who::Image(to), Input::Xcf { from: life.0, bytes });
        }
        true
    }

    pub fn through_xcf(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        if to >= self.sites.len() || self.cuts.contains(&(from, to)) {
            return;
        }
        let bytes = match self.plan.old {
            Some(old) if old == from || old == to => layout::of_earlier_version(bytes, old == from),
            _ => bytes,
        };
        self.keep_first_words(from, to, &bytes);
        let weather = self.xcf;
        let copies = self.copies(weather);
        for _ in 0..copies {
            let after = Duration::from_micros(20 + self.random.below(weather.delay.max(1)));
            self.later(after, Who::Image(to), Input::Xcf { from, bytes: bytes.clone() });
        }
        if copies > 1
            && let vipa::wire::Datagram::Data(_) = vipa::wire::classify(&bytes)
        {
            self.observer.arrived(digest(&bytes[vipa::wire::DataHeader::LEN..]));
        }
    }

    fn keep_first_words(&mut self, from: usize, to: usize, bytes: &[u8]) {
        const KEPT: usize = 6;
        if let (Some(life), vipa::wire::Datagram::Control) = (self.life(from), vipa::wire::classify(bytes)) {
            let words = self.first_words.entry((life, to)).or_default();
            if words.len() < KEPT {
                words.push(bytes.to_vec());
            }
        }
    }

    pub fn route(&mut self, index: usize, dvipa: IpAddr, here: bool) {
        if here {
            self.routes.insert(dvipa, index);
        } else if self.routes.get(&dvipa) == Some(&index) {
            self.routes.remove(&dvipa);
        }
        self.say(|| format!("MVS{} {} {dvipa}", index + 1, if here { "advertises" } else { "withdraws" }));
    }
}
