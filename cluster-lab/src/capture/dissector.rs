//! The dissector for Wireshark, which `capture --dissector` prints.

/// A Lua script: XCF messages by name, and the packets that cross XCF.
pub const DISSECTOR: &str = include_str!("xcf.lua");

#[cfg(test)]
mod tests {
    use super::*;

    /// The script looks where captures have their datagrams, and knows every kind of message.
    #[test]
    fn the_dissector_knows_port_and_kinds() {
        assert!(DISSECTOR.contains(&format!("local PORT = {}\n", super::super::write::XCF_PORT)));
        for (number, name) in vipa::wire::message_kinds() {
            assert!(DISSECTOR.contains(&format!("[{number}] = \"{name}\"")), "{number} {name}");
        }
    }
}
