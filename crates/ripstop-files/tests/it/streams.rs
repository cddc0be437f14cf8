//! Large files: all of the bytes, in pieces, and no clean end for what was cut.

use std::fs::{File, OpenOptions};
use std::io::Write;

use http::Method;
use http::header::ACCEPT_ENCODING;
use http_body::Body;
use http_body_util::BodyExt;
use ripstop_files::BodyError;

use crate::support::{Tree, get, noise, prose, request, respond};

const MIB: usize = 1 << 20;

fn truncate(tree: &Tree, name: &str, len: u64) {
    let file = OpenOptions::new().write(true).open(tree.root().join(name)).unwrap();
    file.set_len(len).unwrap();
}

#[tokio::test]
async fn a_large_file_comes_whole_and_in_pieces() {
    let content = noise(2 * MIB + 7);
    let tree = Tree::new(&[("a.bin", &content)]);
    let files = tree.open_streaming();
    let mut body = respond(&files, request(Method::GET, "/a.bin", &[])).await.into_body();
    assert_eq!(body.size_hint().exact(), Some(content.len() as u64));
    let (mut received, mut pieces) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let piece = frame.unwrap().into_data().unwrap();
        assert!(!piece.is_empty() && piece.len() <= 256 * 1024);
        received.extend_from_slice(&piece);
        pieces += 1;
    }
    assert!(pieces >= 9);
    assert!(received == content);
    assert!(body.is_end_stream());
}

/// Pieces that are held while others are read are not written over.
#[tokio::test]
async fn a_piece_that_is_held_does_not_change() {
    let content = noise(2 * MIB);
    let tree = Tree::new(&[("a.bin", &content)]);
    let mut body =
        respond(&tree.open_streaming(), request(Method::GET, "/a.bin", &[])).await.into_body();
    let mut held = Vec::new();
    while let Some(frame) = body.frame().await {
        held.push(frame.unwrap().into_data().unwrap());
    }
    assert!(held.concat() == content);
}

#[tokio::test]
async fn a_file_that_is_truncated_ends_with_an_error() {
    let tree = Tree::new(&[]);
    for (name, content, fields) in [
        ("a.bin", noise(2 * MIB), vec![]),
        ("a.txt", prose(2 * MIB), vec![(ACCEPT_ENCODING, "gzip")]),
    ] {
        tree.write(name, &content);
        let request = request(Method::GET, &format!("/{name}"), &fields);
        let mut body = respond(&tree.open_streaming(), request).await.into_body();
        body.frame().await.unwrap().unwrap();
        truncate(&tree, name, MIB as u64 / 2);
        let error = loop {
            if let Err(error) = body.frame().await.expect("the end comes with an error") {
                break error;
            }
        };
        assert!(matches!(error, BodyError::Truncated), "{name} {error}");
        assert!(body.frame().await.is_none());
    }
}

/// Bytes that are added do not belong to what was promised.
#[tokio::test]
async fn a_file_that_grows_is_sent_as_long_as_it_was() {
    let content = noise(MIB);
    let tree = Tree::new(&[("a.bin", &content)]);
    let body =
        respond(&tree.open_streaming(), request(Method::GET, "/a.bin", &[])).await.into_body();
    let mut file = OpenOptions::new().append(true).open(tree.root().join("a.bin")).unwrap();
    file.write_all(b"more").unwrap();
    assert!(body.collect().await.unwrap().to_bytes() == content);
}

/// The holes are not read into memory at once: this is a hundred times what there is.
#[tokio::test]
async fn a_huge_file_takes_no_memory_before_it_is_read() {
    let tree = Tree::new(&[]);
    File::create(tree.root().join("huge.bin")).unwrap().set_len(1 << 41).unwrap();
    let files = tree.open_streaming();
    let fields = [(http::header::RANGE, "bytes=-5")];
    let mut body = respond(&files, request(Method::GET, "/huge.bin", &[])).await.into_body();
    assert_eq!(body.size_hint().exact(), Some(1 << 41));
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 256 * 1024);
    let tail = crate::support::get_with(&files, "/huge.bin", &fields).await;
    assert_eq!(tail.body, [0; 5]);
}

#[tokio::test]
async fn the_file_stays_what_it_was_when_its_name_goes_to_another() {
    let content = noise(MIB);
    let tree = Tree::new(&[("a.bin", &content), ("b.bin", b"other")]);
    let files = tree.open_streaming();
    let body = respond(&files, request(Method::GET, "/a.bin", &[])).await.into_body();
    std::fs::rename(tree.root().join("b.bin"), tree.root().join("a.bin")).unwrap();
    assert!(body.collect().await.unwrap().to_bytes() == content);
    assert_eq!(get(&files, "/a.bin").await.text(), "other");
}
