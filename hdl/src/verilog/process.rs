//! The statements of a kernel, taken apart into what is independent.
//!
//! A kernel is one list of statements; as one `always` block it would be one node in a simulator's graph, and a
//! submodule's output that depends on its input would look like a loop. Statements that share no signal in
//! a way that depends on their order become processes of their own, and a net with one unconditional
//! assignment becomes an `assign`, or the very expression in a port's connection.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// A statement of the outermost level.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) comments: Vec<String>,
    pub(super) lines: Vec<String>,
    /// If all it does is to assign the whole of one net: the net and the value.
    pub(super) whole: Option<(String, String)>,
    /// Nets it reads.
    pub(super) reads: BTreeSet<String>,
    pub(super) writes: BTreeSet<String>,
}

/// A part of a kernel that stands by itself.
#[derive(Debug)]
pub(super) enum Process {
    /// One unconditional assignment of a whole net.
    Assign { net: String, value: String, comments: Vec<String> },
    /// Statements whose order matters.
    Always { writes: BTreeSet<String>, lines: Vec<String> },
}

/// Takes the chunks of a kernel apart, in the order of their first statements.
pub(super) fn split(mut chunks: Vec<Chunk>) -> Vec<Process> {
    remove_overwritten(&mut chunks);
    let groups = groups(&chunks);
    let mut members: BTreeMap<usize, Vec<Chunk>> = BTreeMap::new();
    for (chunk, group) in chunks.into_iter().zip(groups) {
        members.entry(group).or_default().push(chunk);
    }
    members.into_values().map(process).collect()
}

/// Nets that some chunk reads.
pub(super) fn all_reads(chunks: &[Chunk]) -> BTreeSet<String> {
    chunks.iter().flat_map(|c| c.reads.iter().cloned()).collect()
}

fn process(mut chunks: Vec<Chunk>) -> Process {
    if let [Chunk { whole: Some((net, value)), comments, .. }] = chunks.as_mut_slice() {
        return Process::Assign { net: std::mem::take(net), value: std::mem::take(value), comments: std::mem::take(comments) };
    }
    let mut writes = BTreeSet::new();
    let mut lines = vec![];
    for mut chunk in chunks {
        writes.append(&mut chunk.writes);
        lines.append(&mut chunk.comments);
        lines.append(&mut chunk.lines);
    }
    Process::Always { writes, lines }
}

/// Removes an assignment of a whole net that another one follows before the net is read: the `d = q`
/// of `dff_setup!` for a flip-flop that is always assigned.
fn remove_overwritten(chunks: &mut Vec<Chunk>) {
    let mut doomed: HashSet<&str> = HashSet::new();
    let mut keep = vec![true; chunks.len()];
    for (chunk, keep) in chunks.iter().zip(&mut keep).rev() {
        if let Some((key, _)) = &chunk.whole {
            if !doomed.insert(key) {
                *keep = false;
                continue;
            }
        }
        for key in &chunk.reads {
            doomed.remove(key.as_str());
        }
    }
    let mut keep = keep.into_iter();
    chunks.retain(|_| keep.next().unwrap_or(true));
}

/// For each chunk the first chunk it must stay in order with.
fn groups(chunks: &[Chunk]) -> Vec<usize> {
    let mut parent: Vec<usize> = (0..chunks.len()).collect();
    let mut last_write: HashMap<&str, usize> = HashMap::new();
    for (i, chunk) in chunks.iter().enumerate() {
        for key in &chunk.writes {
            if let Some(before) = last_write.insert(key, i) {
                unite(&mut parent, before, i);
            }
        }
    }
    for (i, chunk) in chunks.iter().enumerate() {
        for key in &chunk.reads {
            // The value read is not the last one: the order matters.
            if let Some(&last) = last_write.get(key.as_str()).filter(|last| **last > i) {
                unite(&mut parent, last, i);
            }
        }
    }
    (0..chunks.len()).map(|i| root(&mut parent, i)).collect()
}

fn root(parent: &mut [usize], mut i: usize) -> usize {
    while parent[i] != i {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    i
}

fn unite(parent: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parent, a), root(parent, b));
    parent[a.max(b)] = a.min(b);
}
