//! Fuzz targets: plain tests with their seed corpus and random inputs; `tests/fuzz.sh` runs them for
//! long, and `cargo bolero test NAME` guided.
//!
//! The corpus of `fuzz_NAME` is `__fuzz__/NAME/corpus`; `cargo test --test fuzz -- --ignored` writes
//! it anew.

mod frames;
mod machine;
mod packet;
mod seeds;

#[path = "../support/mod.rs"]
mod support;

/// The longest input worth trying: more steps find no more.
const LONGEST: usize = 512;

/// Any bytes, as they come from a device with any offload facts: parsed, cut, joined, taken in by a
/// host and by a router.
#[test]
fn fuzz_packet() {
    bolero::check!().with_max_len(LONGEST).for_each(packet::check);
}

/// A host among wild peers: frames, time and socket calls in any order.
#[test]
fn fuzz_stack() {
    bolero::check!().with_max_len(LONGEST).for_each(|program: &[u8]| {
        machine::run(program);
    });
}

/// The programs of the corpus do what they are there for: a target that never gets beyond the first
/// check finds nothing.
#[test]
fn the_corpus_reaches_far() {
    let mut reached = machine::Reached::default();
    for (_, program) in seeds::programs() {
        reached.add(&machine::run(&program));
    }
    let machine::Reached { established, delivered, joined, answered, refused } = reached;
    assert!(established > 2 && delivered > 1000 && joined > 2 && answered > 1 && refused > 1, "{reached:?}");
}

/// Writes the corpus.
#[test]
#[ignore = "writes into the source tree"]
fn write_corpus() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/__fuzz__");
    for (target, seeds) in [("packet", seeds::packets()), ("stack", seeds::programs())] {
        let corpus = folder.join(target).join("corpus");
        std::fs::create_dir_all(&corpus).unwrap();
        for (name, bytes) in seeds {
            std::fs::write(corpus.join(name), bytes).unwrap();
        }
    }
}
