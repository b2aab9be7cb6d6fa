//! IPv4 options (RFC 791, section 3.1; RFC 1122, section 3.2.1.8).

/// Option types.
mod kind {
    pub const END: u8 = 0;
    pub const NOP: u8 = 1;
    pub const LOOSE_SOURCE_ROUTE: u8 = 131;
    pub const STRICT_SOURCE_ROUTE: u8 = 137;
}

/// Set in the type of options that stand in every fragment.
const COPIED: u8 = 0x80;

/// Why a packet goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The byte of the header that contradicts itself (RFC 1122, section 3.2.2.5).
    Parameter(u8),
    /// It is to visit further addresses: source routes are not followed (RFC 1122, section 3.3.5).
    SourceRoute,
}

/// Checks the options of `header`, an IPv4 header with all its options.
pub fn check(header: &[u8]) -> Result<(), Fault> {
    let mut at = 20;
    while let Some(kind) = header.get(at) {
        // At most 60.
        let fault = Err(Fault::Parameter(at as u8));
        match *kind {
            kind::END => return Ok(()),
            kind::NOP => at += 1,
            kind => {
                let Some(length) = header.get(at + 1).map(|length| usize::from(*length)) else { return fault };
                if length < 2 || at + length > header.len() {
                    return fault;
                }
                if matches!(kind, kind::LOOSE_SOURCE_ROUTE | kind::STRICT_SOURCE_ROUTE) {
                    match header[at..at + length].get(2) {
                        Some(pointer) if usize::from(*pointer) > length => {}
                        Some(_) => return Err(Fault::SourceRoute),
                        None => return fault,
                    }
                }
                at += length;
            }
        }
    }
    Ok(())
}

/// Makes the header of a first fragment one of those that follow: options that stand in the first
/// alone become padding, so that the length stays.
pub fn keep_copied(header: &mut [u8]) {
    let mut at = 20;
    while let Some(kind) = header.get(at).copied() {
        let length = match kind {
            kind::END => return,
            kind::NOP => 1,
            _ => match header.get(at + 1) {
                Some(length) if *length >= 2 => usize::from(*length),
                _ => return,
            },
        };
        let end = header.len().min(at + length);
        if kind & COPIED == 0 {
            header[at..end].fill(kind::NOP);
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(options: &[u8]) -> Vec<u8> {
        let mut header = vec![0; 20];
        header.extend_from_slice(options);
        header
    }

    /// RFC 1122, section 3.2.1.8: unknown options are passed over, a used-up source route too.
    #[test]
    fn sound_options_pass() {
        for options in [&[][..], &[0, 9, 9, 9], &[1, 1, 1, 0], &[200, 4, 0, 0], &[131, 7, 8, 1, 2, 3, 4, 0]] {
            assert_eq!(check(&header(options)), Ok(()), "{options:?}");
        }
    }

    /// RFC 1122, section 3.2.2.5: the byte at fault is known.
    #[test]
    fn faults_are_pointed_at() {
        assert_eq!(check(&header(&[1, 1, 1, 7])), Err(Fault::Parameter(23)));
        assert_eq!(check(&header(&[7, 1, 0, 0])), Err(Fault::Parameter(20)));
        assert_eq!(check(&header(&[1, 7, 4, 0])), Err(Fault::Parameter(21)));
        assert_eq!(check(&header(&[137, 2, 0, 0])), Err(Fault::Parameter(20)));
        assert_eq!(check(&header(&[137, 7, 4, 1, 2, 3, 4, 0])), Err(Fault::SourceRoute));
    }

    /// RFC 791, section 3.1: the copied flag.
    #[test]
    fn only_copied_options_stand_in_later_fragments() {
        let mut header = header(&[7, 3, 4, 148, 4, 0, 0, 0]);
        keep_copied(&mut header);
        assert_eq!(header[20..], [1, 1, 1, 148, 4, 0, 0, 0]);
    }
}
