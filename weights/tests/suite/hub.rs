//! Models pulled from a hub of our own: the cache's layout, resuming, verifying, refusals.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use glm4v_weights::{Checkpoint, HubOptions, PullEvent, WeightsError, cached, pull};
use tempfile::TempDir;

use crate::common::{golden, sharded};
use crate::server::{COMMIT, Hub, ID, Request, etag};

const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/// A sharded model with its small files, and files that nobody needs.
fn repository() -> Vec<(String, Vec<u8>)> {
    let mut files = sharded("glm");
    for name in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
        files.push((name.to_owned(), std::fs::read(golden("glm").join(name)).unwrap()));
    }
    for name in ["README.md", "pytorch_model.bin", "original/model.safetensors"] {
        files.push((name.to_owned(), b"not needed".to_vec()));
    }
    files
}

fn is_needed(name: &str) -> bool {
    !["README.md", "pytorch_model.bin", "original/model.safetensors"].contains(&name)
}

struct Scene {
    hub: Hub,
    options: HubOptions,
    cache: TempDir,
}

impl Scene {
    fn new() -> Self {
        let hub = Hub::start(repository());
        let cache = tempfile::tempdir().unwrap();
        let mut options = HubOptions::new(cache.path());
        options.endpoint = hub.endpoint();
        options.retries = 0;
        Self { hub, options, cache }
    }

    fn pull(&self) -> Result<PathBuf, WeightsError> {
        pull(ID, None, &self.options, &mut |_| {})
    }

    fn cached(&self) -> Option<PathBuf> {
        cached(ID, None, &self.options)
    }

    fn folder(&self) -> PathBuf {
        self.cache.path().join("models--owner--tiny-model")
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.hub.state();
        state.files.iter().find(|(found, _)| found == name).unwrap().1.clone()
    }

    /// Holds the snapshot at `folder` against what the hub has.
    fn assert_complete(&self, folder: &Path) {
        let files = self.hub.state().files.clone();
        let mut needed: Vec<_> = files.iter().filter(|(name, _)| is_needed(name)).collect();
        needed.sort();
        let mut found: Vec<String> = names(folder);
        found.sort();
        assert_eq!(found, needed.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        for (name, bytes) in needed {
            assert_eq!(std::fs::read(folder.join(name)).unwrap(), *bytes, "{name}");
        }
        assert_eq!(self.cached().as_deref(), Some(folder));
        Checkpoint::open(folder).unwrap();
    }
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn of_file(log: &[Request], name: &str) -> Vec<Request> {
    log.iter().filter(|request| request.path.ends_with(name)).cloned().collect()
}

#[test]
fn a_pull_fills_the_ordinary_cache() {
    let scene = Scene::new();
    assert_eq!(scene.cached(), None);
    let snapshot = scene.pull().unwrap();
    scene.assert_complete(&snapshot);
    // Hugging Face's layout: blobs named by ETag, relative links, a ref that says the commit.
    assert_eq!(snapshot, scene.folder().join("snapshots").join(COMMIT));
    assert_eq!(std::fs::read_to_string(scene.folder().join("refs/main")).unwrap(), COMMIT);
    let shard = etag(SHARDS[0], &scene.bytes(SHARDS[0]));
    assert!(scene.folder().join("blobs").join(&shard).is_file());
    #[cfg(unix)]
    assert_eq!(
        std::fs::read_link(snapshot.join(SHARDS[0])).unwrap(),
        Path::new("../../blobs").join(shard)
    );
    let mut left = names(&scene.folder());
    left.sort();
    assert_eq!(left, ["blobs", "refs", "snapshots"]);
    // The `hf-hub` crate's own reader finds the files.
    let theirs = hf_hub::Cache::new(scene.cache.path().to_owned()).model(ID.to_owned());
    assert_eq!(theirs.get("config.json").unwrap(), snapshot.join("config.json"));
    // Nobody asked for what is not needed.
    assert!(scene.hub.take_log().iter().all(|request| {
        let name = request.path.rsplit('/').next().unwrap();
        is_needed(name) && !request.path.contains("original")
    }));
}

#[test]
fn a_second_pull_fetches_what_changed_and_nothing_else() {
    let scene = Scene::new();
    let first = scene.pull().unwrap();
    scene.hub.take_log();
    assert_eq!(scene.pull().unwrap(), first);
    let log = scene.hub.take_log();
    assert_eq!(log.len(), 1, "{log:?}");
    let newer = "f".repeat(40);
    {
        let mut state = scene.hub.state();
        state.commit = newer.clone();
        let config = state.files.iter_mut().find(|(name, _)| name == "config.json").unwrap();
        config.1.push(b'\n');
    }
    let second = scene.pull().unwrap();
    assert_eq!(second, scene.folder().join("snapshots").join(newer));
    scene.assert_complete(&second);
    let downloads = scene.hub.take_downloads();
    assert_eq!(downloads.len(), 1, "{downloads:?}");
    assert!(downloads[0].path.ends_with("config.json"));
    assert_eq!(cached(ID, Some(COMMIT), &scene.options), Some(first));
}

#[test]
fn progress_tells_files_bytes_and_totals() {
    let scene = Scene::new();
    let mut done = std::collections::BTreeMap::new();
    let mut finished = vec![];
    let mut weights = None;
    pull(ID, None, &scene.options, &mut |event| match event {
        PullEvent::Progress { file, done: bytes, total } => {
            let before = done.insert(file.to_owned(), (bytes, total));
            assert!(before.is_none_or(|(before, _)| before <= bytes));
        }
        PullEvent::Finished { file } => finished.push(file.to_owned()),
        PullEvent::Files { files, bytes } => weights = Some((files, bytes)),
        other => panic!("{other:?}"),
    })
    .unwrap();
    for (name, (bytes, total)) in &done {
        assert_eq!((*bytes, *total), (scene.bytes(name).len() as u64, *bytes), "{name}");
    }
    assert_eq!(finished.len(), done.len());
    // The weights come last, so that a snapshot that has them has all.
    assert_eq!(finished[finished.len() - 2..], SHARDS);
    let bytes: usize = SHARDS.iter().map(|shard| scene.bytes(shard).len()).sum();
    assert_eq!(weights, Some((2, Some(bytes as u64))));
}

#[test]
fn a_broken_off_download_goes_on_where_it_stopped() {
    let scene = Scene::new();
    let whole = scene.bytes(SHARDS[1]).len();
    scene.hub.state().break_off.insert(SHARDS[1].to_owned(), 100_000);
    let error = scene.pull().unwrap_err();
    assert!(matches!(error, WeightsError::Download { .. }), "{error}");
    assert!(error.to_string().contains(SHARDS[1]) && error.to_string().contains("resume"));
    assert_eq!(scene.cached(), None);
    let first = of_file(&scene.hub.take_downloads(), SHARDS[1]);
    assert_eq!(first.last().unwrap().sent, 100_000);

    let mut reached = vec![];
    let snapshot = pull(ID, None, &scene.options, &mut |event| {
        if let PullEvent::Progress { file, done, .. } = event
            && file == SHARDS[1]
        {
            reached.push(done);
        }
    })
    .unwrap();
    scene.assert_complete(&snapshot);
    assert!(reached[0] >= 100_000, "what is there counts as done");
    let downloads = scene.hub.take_downloads();
    // The hub's answer is a redirect to its storage, which has the bytes.
    let second = of_file(&downloads, SHARDS[1]);
    assert!(second.iter().all(|request| request.range.as_deref() == Some("bytes=100000-")));
    assert_eq!(second.iter().map(|request| request.sent).sum::<usize>(), whole - 100_000);
    assert_eq!(of_file(&downloads, SHARDS[0]).len(), 0);
}

#[test]
fn a_hub_that_falls_silent_is_given_up_and_resumed_from() {
    let mut scene = Scene::new();
    scene.options.patience = Duration::from_millis(300);
    scene.options.retries = 3;
    scene.hub.state().fall_silent.insert(SHARDS[1].to_owned(), 1000);
    let error = scene.pull().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{ID}: downloading {} failed: the hub has sent nothing for 0.3 s; run the command again to resume",
            SHARDS[1]
        )
    );
    assert_eq!(scene.cached(), None);
    // The part file is free once the connection is gone.
    scene.hub.state().held.clear();
    scene.options.patience = Duration::from_secs(30);
    scene.hub.take_log();
    scene.assert_complete(&scene.pull().unwrap());
    let again = of_file(&scene.hub.take_downloads(), SHARDS[1]);
    assert!(
        again.iter().any(|request| request.range.as_deref() == Some("bytes=1000-")),
        "{again:?}"
    );
}

#[test]
fn retries_take_a_broken_off_download_up_again() {
    let mut scene = Scene::new();
    scene.options.retries = 1;
    scene.hub.state().break_off.insert(SHARDS[0].to_owned(), 70_000);
    scene.hub.state().busy = true;
    let mut retried = vec![];
    let snapshot = pull(ID, None, &scene.options, &mut |event| {
        if let PullEvent::Retrying { file, reason } = event {
            assert!(!reason.is_empty());
            retried.push(file.to_owned());
        }
    })
    .unwrap();
    scene.assert_complete(&snapshot);
    // The busy hub's refusal of the first file, then the shard.
    assert_eq!(retried, ["config.json", SHARDS[0]]);
    let sent: usize = of_file(&scene.hub.take_downloads(), SHARDS[0]).iter().map(|r| r.sent).sum();
    assert_eq!(sent, scene.bytes(SHARDS[0]).len());
}

#[test]
fn a_hub_that_ignores_ranges_costs_a_second_download_and_no_harm() {
    let mut scene = Scene::new();
    scene.hub.state().break_off.insert(SHARDS[0].to_owned(), 70_000);
    scene.pull().unwrap_err();
    scene.hub.state().ignores_ranges = true;
    scene.options.retries = 1;
    let snapshot = scene.pull().unwrap();
    scene.assert_complete(&snapshot);
}

#[test]
fn wrong_bytes_are_thrown_away() {
    for (damaged, kind) in [(SHARDS[1], "sha256"), ("tokenizer.json", "git sha1")] {
        let mut scene = Scene::new();
        scene.options.retries = 3;
        // Without digests in the list, the ETag is what the bytes are held against.
        for names_only in [false, true] {
            scene.hub.state().names_only = names_only;
            scene.hub.state().damage = Some(damaged.to_owned());
            scene.hub.take_log();
            let error = scene.pull().unwrap_err();
            let WeightsError::DamagedDownload { file, kind: found, .. } = &error else {
                panic!("{error}")
            };
            assert_eq!((file.as_str(), *found), (damaged, kind));
            assert_eq!(scene.cached(), None);
            let blob = etag(damaged, &scene.bytes(damaged));
            assert!(!names(&scene.folder().join("blobs")).contains(&blob));
            let snapshot = scene.folder().join("snapshots").join(COMMIT);
            assert!(!names(&snapshot).contains(&damaged.to_owned()));
            let bodies = of_file(&scene.hub.take_downloads(), damaged);
            let bodies = bodies.iter().filter(|request| request.sent > 0).count();
            assert_eq!(bodies, 2, "wrong twice is enough");
        }
        scene.hub.state().damage = None;
        let snapshot = scene.pull().unwrap();
        scene.assert_complete(&snapshot);
    }
}

#[test]
fn a_file_of_the_wrong_size_is_thrown_away() {
    let scene = Scene::new();
    scene.hub.state().break_off.insert(SHARDS[0].to_owned(), 70_000);
    scene.pull().unwrap_err();
    scene.hub.state().ignores_ranges = true;
    let error = scene.pull().unwrap_err();
    let WeightsError::DamagedDownload { kind, expected, found, .. } = &error else {
        panic!("{error}")
    };
    let whole = scene.bytes(SHARDS[0]).len();
    assert_eq!(*kind, "size in bytes");
    assert_eq!((expected, found), (&whole.to_string(), &(whole + 70_000).to_string()));
}

#[test]
fn a_whole_file_left_unverified_is_verified_and_kept() {
    let scene = Scene::new();
    let bytes = scene.bytes(SHARDS[0]);
    let blobs = scene.folder().join(".incoming/models--owner--tiny-model/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(etag(SHARDS[0], &bytes)), &bytes).unwrap();
    // A part that is as long as the file, of a run that ended just before it was renamed.
    let whole = scene.bytes(SHARDS[1]);
    std::fs::write(blobs.join(etag(SHARDS[1], &whole)).with_extension("part"), &whole).unwrap();
    scene.pull().unwrap_err();
    assert!(of_file(&scene.hub.take_downloads(), SHARDS[0]).is_empty());
    let snapshot = scene.pull().unwrap();
    scene.assert_complete(&snapshot);
}

#[test]
fn a_token_is_sent_and_its_lack_explained() {
    let mut scene = Scene::new();
    scene.hub.state().token = Some("secret".to_owned());
    let error = scene.pull().unwrap_err();
    assert!(matches!(error, WeightsError::AccessRefused { status: 401, .. }), "{error}");
    assert!(error.to_string().contains("HF_TOKEN"), "{error}");
    scene.options.token = Some("wrong".to_owned());
    assert!(matches!(scene.pull(), Err(WeightsError::AccessRefused { status: 401, .. })));
    scene.hub.take_log();
    scene.options.token = Some("secret".to_owned());
    let snapshot = scene.pull().unwrap();
    scene.assert_complete(&snapshot);
    let log = scene.hub.take_log();
    let to_hub = log.iter().filter(|request| !request.path.starts_with("/storage/"));
    assert!(to_hub.clone().count() > 7);
    assert!(to_hub.into_iter().all(|r| r.authorization.as_deref() == Some("Bearer secret")));
    scene.hub.state().gated = true;
    let error = scene.pull().unwrap_err();
    assert!(matches!(error, WeightsError::AccessRefused { status: 403, .. }), "{error}");
    assert!(error.to_string().contains("gated"), "{error}");
}

#[test]
fn unknown_models_and_revisions_are_told() {
    let scene = Scene::new();
    let error = pull("owner/other", None, &scene.options, &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "owner/other: revision main not found on the hub");
    let error = pull(ID, Some("v9"), &scene.options, &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), format!("{ID}: revision v9 not found on the hub"));
    for (id, revision) in [("../x", None), ("a/b/c", None), (ID, Some("../main"))] {
        let error = pull(id, revision, &scene.options, &mut |_| {}).unwrap_err();
        assert!(matches!(error, WeightsError::BadModelId { .. }), "{error}");
        assert_eq!(cached(id, revision, &scene.options), None);
    }
}

#[test]
fn revisions_with_slashes_and_commits_are_kept_apart() {
    let scene = Scene::new();
    let snapshot = pull(ID, Some("refs/pr/1"), &scene.options, &mut |_| {}).unwrap();
    assert_eq!(std::fs::read_to_string(scene.folder().join("refs/refs/pr/1")).unwrap(), COMMIT);
    assert_eq!(cached(ID, Some("refs/pr/1"), &scene.options).as_ref(), Some(&snapshot));
    assert_eq!(cached(ID, Some(COMMIT), &scene.options).as_ref(), Some(&snapshot));
    assert_eq!(scene.cached(), None, "the main branch was not pulled");
    scene.hub.take_log();
    assert_eq!(pull(ID, Some(COMMIT), &scene.options, &mut |_| {}).unwrap(), snapshot);
    assert!(!scene.folder().join("refs").join(COMMIT).exists());
    assert!(scene.hub.take_downloads().is_empty());
}

#[test]
fn offline_asks_nobody() {
    let mut scene = Scene::new();
    scene.options.offline = true;
    let error = scene.pull().unwrap_err();
    assert!(matches!(error, WeightsError::NotCached { .. }), "{error}");
    assert!(error.to_string().contains("HF_HUB_OFFLINE"), "{error}");
    assert!(scene.hub.take_log().is_empty());
    scene.options.offline = false;
    let snapshot = scene.pull().unwrap();
    scene.options.offline = true;
    scene.hub.take_log();
    assert_eq!(scene.pull().unwrap(), snapshot);
    assert!(scene.hub.take_log().is_empty());
    // A snapshot that lacks a shard is not a model.
    std::fs::remove_file(snapshot.join(SHARDS[0])).unwrap();
    assert!(matches!(scene.pull(), Err(WeightsError::NotCached { .. })));
}

#[test]
fn a_hub_that_cannot_be_reached_is_told() {
    let mut scene = Scene::new();
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    scene.options.endpoint = format!("http://{free}");
    let error = scene.pull().unwrap_err();
    assert!(matches!(error, WeightsError::Download { .. }), "{error}");
}

#[test]
fn what_the_cache_has_is_used_when_the_hub_cannot_be_reached() {
    let mut scene = Scene::new();
    let snapshot = scene.pull().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    scene.options.endpoint = format!("http://{free}");
    let mut told = 0;
    let again = pull(ID, None, &scene.options, &mut |event| {
        assert!(matches!(event, PullEvent::Unreachable { .. }), "{event:?}");
        told += 1;
    });
    assert_eq!((again.unwrap(), told), (snapshot.clone(), 1));
    // Half a model is none.
    std::fs::remove_file(snapshot.join(SHARDS[0])).unwrap();
    assert!(matches!(scene.pull(), Err(WeightsError::Download { .. })));
}

#[test]
fn an_https_hub_is_spoken_to_in_tls() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut scene = Scene::new();
    scene.options.endpoint = format!("https://{}", listener.local_addr().unwrap());
    let first_byte = std::thread::spawn(move || {
        let mut byte = [0];
        listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
        byte[0]
    });
    assert!(matches!(scene.pull(), Err(WeightsError::Download { .. })));
    // Content type 22, a handshake record (RFC 8446, section 5.1).
    assert_eq!(first_byte.join().unwrap(), 22);
}

#[test]
fn repositories_that_hold_no_model_are_told() {
    let scene = Scene::new();
    let without = |names: &[&str]| {
        let mut files = repository();
        files.retain(|(name, _)| !names.contains(&name.as_str()));
        scene.hub.state().files = files;
        scene.pull().unwrap_err()
    };
    assert!(matches!(without(&["config.json"]), WeightsError::MissingConfig { .. }));
    let error = without(&[SHARDS[1]]);
    assert_eq!(error.to_string(), format!("{ID}: {} not found on the hub", SHARDS[1]));
    let index = "model.safetensors.index.json";
    let error = without(&[index, SHARDS[0], SHARDS[1]]);
    assert!(matches!(error, WeightsError::NoWeights { .. }), "{error}");
    let mut files = repository();
    files.retain(|(name, _)| name != index);
    files.push((index.to_owned(), br#"{"weight_map": {"a": "../../config.json"}}"#.to_vec()));
    let scene = Scene::new();
    scene.hub.state().files = files;
    assert!(matches!(scene.pull(), Err(WeightsError::BadIndex { .. })));
}

#[test]
fn a_single_file_is_preferred_as_when_opening() {
    let scene = Scene::new();
    let single = std::fs::read(golden("glm").join("model.safetensors")).unwrap();
    scene.hub.state().files.push(("model.safetensors".to_owned(), single.clone()));
    let snapshot = scene.pull().unwrap();
    assert_eq!(std::fs::read(snapshot.join("model.safetensors")).unwrap(), single);
    assert!(!names(&snapshot).iter().any(|name| name.contains("-of-")));
    assert_eq!(scene.cached(), Some(snapshot));
}

#[test]
fn two_pulls_at_once_fetch_each_file_once() {
    let scene = Scene::new();
    let snapshots: Vec<PathBuf> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| scene.pull().unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(snapshots.iter().all(|snapshot| *snapshot == snapshots[0]));
    scene.assert_complete(&snapshots[0]);
    let downloads = scene.hub.take_downloads();
    for shard in SHARDS {
        let bodies = of_file(&downloads, shard).iter().filter(|request| request.sent > 0).count();
        assert_eq!(bodies, 1);
    }
}
