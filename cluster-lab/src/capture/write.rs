//! pcapng, with an interface for each link of each image.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use stack::wire::checksum;
use stack::wire::ip::{self, protocol};

use super::{Link, Record, Way};

/// XCF datagrams stand in a capture as UDP between the XCF addresses, at this port at both ends. It is
/// what the dissector looks for; nothing listens there.
pub(super) const XCF_PORT: u16 = 12_000;

/// Writes records of images.
pub(crate) struct Writer<W: Write> {
    file: PcapNgWriter<W>,
    /// Image, and whether XCF → number of the interface.
    interfaces: HashMap<(String, bool), u32>,
}

fn broken(error: pcap_file::PcapError) -> io::Error {
    match error {
        pcap_file::PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

impl<W: Write> Writer<W> {
    /// # Errors
    /// When the file cannot be written.
    pub fn new(to: W) -> io::Result<Self> {
        let version = concat!("cluster-lab ", env!("CARGO_PKG_VERSION"));
        let section = SectionHeaderBlock {
            options: vec![SectionHeaderOption::UserApplication(Cow::Borrowed(version))],
            ..SectionHeaderBlock::default()
        };
        let file = PcapNgWriter::with_section_header(to, section).map_err(broken)?;
        Ok(Writer { file, interfaces: HashMap::new() })
    }

    /// Writes one record of the image `name`, whose XCF address is `own`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, name: &str, own: IpAddr, record: Record) -> io::Result<()> {
        let Record { lost, time, way, link, bytes } = record;
        let interface_id = self.interface(name, matches!(link, Link::Xcf(_)))?;
        let data = match (link, way) {
            (Link::Network, _) => bytes,
            (Link::Xcf(peer), Way::In) => as_udp(peer, own, &bytes),
            (Link::Xcf(peer), Way::Out) => as_udp(own, peer, &bytes),
        };
        // Of the flags the first two bits are the direction: 1 inbound, 2 outbound.
        let direction = if way == Way::In { 1 } else { 2 };
        let mut options = vec![EnhancedPacketOption::Flags(direction)];
        options.extend((lost > 0).then_some(EnhancedPacketOption::DropCount(lost.into())));
        let block = EnhancedPacketBlock {
            interface_id,
            timestamp: Duration::from_nanos(time),
            original_len: u32::try_from(data.len()).unwrap_or(u32::MAX),
            data: Cow::Owned(data),
            options,
        };
        self.file.write_pcapng_block(block).map_err(broken)?;
        Ok(())
    }

    fn interface(&mut self, image: &str, xcf: bool) -> io::Result<u32> {
        let key = (image.to_owned(), xcf);
        if let Some(number) = self.interfaces.get(&key) {
            return Ok(*number);
        }
        let name = format!("{image} {}", if xcf { "XCF" } else { "TUN" });
        let block = InterfaceDescriptionBlock {
            linktype: DataLink::RAW,
            snaplen: 0,
            // Times are counted in units of 10^-9 s.
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Owned(name)),
                InterfaceDescriptionOption::IfTsResol(9),
            ],
        };
        self.file.write_pcapng_block(block).map_err(broken)?;
        let number = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        self.interfaces.insert(key, number);
        Ok(number)
    }

    /// Hands everything on that was written so far.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.get_mut().flush()
    }
}

/// An XCF datagram in IP and UDP headers, for programs that know nothing of XCF.
fn as_udp(source: IpAddr, destination: IpAddr, datagram: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + datagram.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![0; 40];
    let header = ip::Header {
        source,
        destination,
        protocol: protocol::UDP,
        hop_limit: 64,
        traffic_class: 0,
        identification: 0,
        dont_fragment: true,
        payload_len: usize::from(length),
    };
    let ip_length = ip::emit(&header, &mut bytes);
    bytes.truncate(ip_length);
    let (from, to) = (SocketAddr::new(source, XCF_PORT), SocketAddr::new(destination, XCF_PORT));
    let udp = [from.port(), to.port(), length, 0].map(u16::to_be_bytes).concat();
    bytes.extend(&udp);
    bytes.extend(datagram);
    let sum = checksum::pseudo_header(source, destination, protocol::UDP, length.into());
    // RFC 768: a sum of zero is sent as all ones.
    let sum = match !checksum::fold(sum + checksum::sum(&bytes[ip_length..])) {
        0 => 0xffff,
        sum => sum,
    };
    bytes[ip_length + 6..ip_length + 8].copy_from_slice(&sum.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::{Block, PcapNgReader};

    use super::*;

    /// What is written can be read: an interface for each link, packets with their times and directions.
    #[test]
    fn a_capture_reads_back() {
        let (own, peer): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let mut writer = Writer::new(Vec::new()).unwrap();
        let record = |time, way, link, bytes: &[u8]| Record { lost: 0, time, way, link, bytes: bytes.into() };
        writer.write("MVS1", own, record(1_000_000_001, Way::In, Link::Network, b"E...")).unwrap();
        writer.write("MVS1", own, record(1_000_000_002, Way::Out, Link::Xcf(peer), b"xcf")).unwrap();
        let last = Record { lost: 7, ..record(1_000_000_003, Way::Out, Link::Network, b"E..!") };
        writer.write("MVS1", own, last).unwrap();
        let file = std::mem::take(writer.file.get_mut());
        let mut reader = PcapNgReader::new(&file[..]).unwrap();
        let (mut names, mut packets, mut lost) = (Vec::new(), Vec::new(), 0);
        while let Some(block) = reader.next_block() {
            match block.unwrap() {
                Block::InterfaceDescription(block) => {
                    let name = block.options.iter().find_map(|option| match option {
                        InterfaceDescriptionOption::IfName(name) => Some(name.to_string()),
                        _ => None,
                    });
                    names.push(name.unwrap());
                }
                Block::EnhancedPacket(block) => {
                    lost += block.options.contains(&EnhancedPacketOption::DropCount(7)) as u32;
                    packets.push((block.interface_id, block.timestamp.as_nanos(), block.data.into_owned()));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((names, lost), (vec!["MVS1 TUN".to_owned(), "MVS1 XCF".to_owned()], 1));
        let whole = as_udp(own, peer, b"xcf");
        let expected = [
            (0, 1_000_000_001, b"E...".to_vec()),
            (1, 1_000_000_002, whole.clone()),
            (0, 1_000_000_003, b"E..!".to_vec()),
        ];
        assert_eq!(packets, expected);
        let (length, total) = (whole.len(), u16::from_be_bytes([whole[2], whole[3]]));
        assert_eq!((usize::from(total), &whole[28..]), (length, &b"xcf"[..]));
        let sum = checksum::pseudo_header(own, peer, protocol::UDP, (length - 20) as u32);
        assert_eq!(checksum::fold(sum + checksum::sum(&whole[20..])), 0xffff);
    }
}
