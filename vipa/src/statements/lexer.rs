//! Words of a profile, with their places.

/// A place in a text; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

/// A word and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word.
    pub text: &'a str,
    /// Its place.
    pub at: Position,
}

/// Splits `text` into words: blanks, line ends and commas separate them, `;` starts a comment.
/// Also tells where the text ends.
pub fn words(text: &str) -> (Vec<Word<'_>>, Position) {
    let mut words = Vec::new();
    let mut line = 1;
    for (index, content) in text.split('\n').enumerate() {
        line = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let content = content.split(';').next().unwrap_or_default();
        let separates = |letter: char| letter.is_whitespace() || letter == ',';
        let mut rest = content;
        let mut column = 1;
        while let Some(start) = rest.find(|letter| !separates(letter)) {
            column += rest[..start].chars().count();
            rest = &rest[start..];
            let end = rest.find(separates).unwrap_or(rest.len());
            let at = Position { line, column: u32::try_from(column).unwrap_or(u32::MAX) };
            words.push(Word { text: &rest[..end], at });
            column += rest[..end].chars().count();
            rest = &rest[end..];
        }
    }
    let last = text.rsplit('\n').next().unwrap_or_default().chars().count();
    (words, Position { line, column: u32::try_from(last + 1).unwrap_or(u32::MAX) })
}

/// Whether `word` is `keyword` or an abbreviation of it: `keyword` is written as z/OS documents
/// it, its capital letters being the shortest form.
pub fn matches(word: &str, keyword: &str) -> bool {
    let shortest = keyword.chars().take_while(|letter| !letter.is_ascii_lowercase()).count();
    word.len() >= shortest
        && word.len() <= keyword.len()
        && keyword.as_bytes()[..word.len()].eq_ignore_ascii_case(word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_know_their_places() {
        let (words, end) = words("VIPADynamic ; a comment, with a comma\n  A,B ,  C\n");
        let places: Vec<_> = words.iter().map(|word| (word.text, word.at.line, word.at.column)).collect();
        assert_eq!(places, [("VIPADynamic", 1, 1), ("A", 2, 3), ("B", 2, 5), ("C", 2, 10)]);
        assert_eq!(end, Position { line: 3, column: 1 });
    }

    #[test]
    fn capitals_are_the_shortest_form() {
        for word in ["VIPADEF", "vipadefi", "VipaDefine"] {
            assert!(matches(word, "VIPADEFine"), "{word}");
        }
        for word in ["VIPADE", "VIPADEFinex", "VIPADEFx", ""] {
            assert!(!matches(word, "VIPADEFine"), "{word}");
        }
    }
}
