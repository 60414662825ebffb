//! What is known of a model on the hub before its weights are downloaded.

use std::fs;

use glm4v_weights::{Checkpoint, HubOptions, WeightsError, cached, look_up};

use crate::common::{golden, sharded};
use crate::server::{Hub, ID};

fn options(hub: &Hub, cache: &tempfile::TempDir) -> HubOptions {
    let mut options = HubOptions::new(cache.path());
    options.endpoint = hub.endpoint();
    options.retries = 0;
    options
}

fn told(checkpoint: &Checkpoint) -> Vec<(String, String, Vec<usize>, usize)> {
    let tensors = checkpoint.tensors();
    tensors.map(|t| (t.name.clone(), t.dtype.to_string(), t.shape.clone(), t.bytes)).collect()
}

/// The golden's weights behind a header of `length` bytes, filled up with spaces.
fn with_long_header(length: usize) -> Vec<u8> {
    let bytes = fs::read(golden("glm").join("model.safetensors")).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut long = (length as u64).to_le_bytes().to_vec();
    long.extend(&bytes[8..8 + header]);
    long.resize(8 + length, b' ');
    long.extend(&bytes[8 + header..]);
    long
}

fn small_file(name: &str) -> (String, Vec<u8>) {
    (name.to_owned(), fs::read(golden("glm").join(name)).unwrap())
}

#[test]
fn shards_are_known_by_their_headers() {
    let hub = Hub::start(sharded("glm"));
    let cache = tempfile::tempdir().unwrap();
    let found = look_up(ID, None, &options(&hub, &cache), &mut |_| {}).unwrap();
    let whole = Checkpoint::open(golden("glm")).unwrap();
    assert_eq!(told(&found), told(&whole));
    assert!(found.tensors().all(|tensor| found.bytes(tensor).is_none()));
    assert!(found.files().contains("config.json"));
    // The weights are not there, and nothing says that they are.
    assert!(cached(ID, None, &options(&hub, &cache)).is_none());
}

#[test]
fn no_more_than_the_header_is_fetched() {
    const LENGTH: usize = 700_000;
    for ignores_ranges in [false, true] {
        let weights = with_long_header(LENGTH);
        let weights = ("model.safetensors".to_owned(), weights);
        let hub = Hub::start(vec![small_file("config.json"), weights]);
        hub.state().ignores_ranges = ignores_ranges;
        let cache = tempfile::tempdir().unwrap();
        let found = look_up(ID, None, &options(&hub, &cache), &mut |_| {}).unwrap();
        assert_eq!(told(&found), told(&Checkpoint::open(golden("glm")).unwrap()));
        let asked = hub.take_downloads();
        let ranges: Vec<String> = asked.into_iter().filter_map(|request| request.range).collect();
        let last = format!("bytes=0-{}", LENGTH + 7);
        assert!(ranges.contains(&last), "{ranges:?}");
    }
}

#[test]
fn what_is_wrong_is_told_by_file_and_model() {
    let error = |weights: &[u8], change: &dyn Fn(&Hub, &mut HubOptions)| {
        let weights = ("model.safetensors".to_owned(), weights.to_vec());
        let hub = Hub::start(vec![small_file("config.json"), weights]);
        let cache = tempfile::tempdir().unwrap();
        let mut options = options(&hub, &cache);
        change(&hub, &mut options);
        look_up(ID, None, &options, &mut |_| {}).unwrap_err()
    };
    let good = fs::read(golden("glm").join("model.safetensors")).unwrap();
    let cut = error(&good[..good.len() - 1], &|_, _| ());
    assert!(matches!(cut, WeightsError::TruncatedFile { .. }), "{cut}");
    for part in ["model.safetensors", ID] {
        assert!(cut.to_string().contains(part), "{cut}");
    }
    assert!(matches!(error(&good[..100], &|_, _| ()), WeightsError::TruncatedFile { .. }));
    assert!(matches!(error(&[0xff; 64], &|_, _| ()), WeightsError::BadHeader { .. }));
    let refused = error(&good, &|hub, _| hub.state().token = Some("t".to_owned()));
    assert!(matches!(refused, WeightsError::AccessRefused { status: 401, .. }), "{refused}");
    let offline = error(&good, &|_, options| options.offline = true);
    assert!(matches!(offline, WeightsError::NotCached { .. }), "{offline}");
}

#[test]
fn a_token_opens_the_headers_too() {
    let hub = Hub::start(sharded("glm"));
    hub.state().token = Some("t".to_owned());
    let cache = tempfile::tempdir().unwrap();
    let options = HubOptions { token: Some("t".to_owned()), ..options(&hub, &cache) };
    assert!(look_up(ID, None, &options, &mut |_| {}).is_ok());
}
