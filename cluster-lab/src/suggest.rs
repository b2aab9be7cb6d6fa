//! What somebody may have meant who mistyped a name.

/// As similar as `MSV1` and `MVS1`, or `figur4` and `figure4`.
const SIMILAR: f64 = 0.75;

/// `"; did you mean 'MVS1'?"` if one of the known names is similar to `word`, else nothing: the end of an error.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let word = word.to_lowercase();
    let alike = |name: &str| strsim::normalized_damerau_levenshtein(&word, &name.to_lowercase());
    let best = known.into_iter().map(|name| (alike(name), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((similarity, name)) if similarity >= SIMILAR => format!("; did you mean '{name}'?"),
        _ => String::new(),
    }
}

/// That no image of the lab has this name.
pub fn no_image<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let meant = did_you_mean(name, known.iter().copied());
    format!("there is no image {name}: the lab has {}{meant}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_similar_is_meant() {
        let images = ["MVS1", "MVS2", "PROD"];
        assert_eq!(did_you_mean("MSV1", images), "; did you mean 'MVS1'?");
        assert_eq!(did_you_mean("prd", images), "; did you mean 'PROD'?");
        assert_eq!(did_you_mean("figur4", ["figure4", "pair"]), "; did you mean 'figure4'?");
        assert_eq!(did_you_mean("XYZ", images), "");
        assert_eq!(did_you_mean("XYZ", []), "");
    }
}
