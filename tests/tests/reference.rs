//! The reference names tests as proofs: they exist, and every row has one or says why not.

use std::collections::BTreeSet;
use std::path::Path;

/// Names of all functions that are tests, and of modules' tests as `module::test`.
fn tests_of(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let path = entry.path();
        if path.is_dir() {
            tests_of(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source file");
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if let Some(rest) = line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn "))
                    && std::mem::take(&mut is_test)
                {
                    found.insert(rest.split(['(', '<']).next().unwrap_or_default().to_owned());
                }
            }
        }
    }
}

/// Cells of a row of a table; `\|` is no border.
fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix('|')?.strip_suffix('|')?.replace("\\|", "\u{0}");
    Some(inner.split('|').map(|cell| cell.replace('\u{0}', "|").trim().to_owned()).collect())
}

/// Every proof that docs/reference.md names is a test; a row without one says why it needs none.
#[test]
fn every_test_that_the_reference_names_exists() {
    let workspace = tests::workspace();
    let mut known = BTreeSet::new();
    for folder in ["stack", "vipa", "cluster-lab", "tests"] {
        tests_of(&workspace.join(folder), &mut known);
    }
    let text = std::fs::read_to_string(workspace.join("docs/reference.md")).expect("the reference");
    let (mut rows, mut wrong) = (0, Vec::new());
    for (number, line) in text.lines().enumerate() {
        let Some(cells) = cells(line) else { continue };
        let [_, here, proofs] = cells.as_slice() else {
            wrong.push(format!("line {}: expected three columns", number + 1));
            continue;
        };
        if proofs.starts_with("---") || proofs == "proved by" {
            continue;
        }
        rows += 1;
        let names: Vec<&str> = proofs.split('`').skip(1).step_by(2).collect();
        for name in &names {
            let name = name.rsplit("::").next().unwrap_or(name);
            if !known.contains(name) {
                wrong.push(format!("line {}: there is no test {name}", number + 1));
            }
        }
        // What has no proof is not there, and the row says why.
        let excused = ["not there", "never"].iter().any(|word| here.starts_with(word));
        if names.is_empty() && !excused {
            wrong.push(format!("line {}: no test is named", number + 1));
        }
    }
    assert!(rows > 100, "{rows} rows");
    assert!(wrong.is_empty(), "docs/reference.md:\n{}", wrong.join("\n"));
}
