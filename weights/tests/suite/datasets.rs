//! Datasets pulled from a hub of our own: the files that are wanted of them, and no others.

use std::path::{Path, PathBuf};

use glm4v_weights::{HubOptions, PullEvent, WeightsError, pull_dataset};
use tempfile::TempDir;

use crate::server::{COMMIT, Hub, ID, Request, etag};

const SHARDS: [&str; 2] = ["data/test-00000-of-00002.parquet", "data/test-00001-of-00002.parquet"];
const OTHERS: [&str; 3] = ["README.md", "data/train-00000-of-00001.parquet", "images/a b#1?%.png"];

/// A repository with the shards of two splits and an image of a difficult name.
fn repository() -> Vec<(String, Vec<u8>)> {
    let content = |name: &str, length: usize| {
        let bytes = (0..length).map(|at| (at % 251) as u8);
        bytes.chain(name.bytes()).collect::<Vec<u8>>()
    };
    let names = SHARDS.iter().chain(&OTHERS).zip([90_000, 150_000, 10, 400_000, 3_000]);
    names.map(|(name, length)| ((*name).to_owned(), content(name, length))).collect()
}

/// The names among `names` that have `part` in them.
fn with(part: &'static str) -> impl Fn(&[String]) -> Vec<String> {
    move |names| names.iter().filter(|name| name.contains(part)).cloned().collect()
}

struct Scene {
    hub: Hub,
    options: HubOptions,
    cache: TempDir,
}

impl Scene {
    fn new() -> Self {
        let hub = Hub::start_dataset(repository());
        let cache = tempfile::tempdir().unwrap();
        let mut options = HubOptions::new(cache.path());
        options.endpoint = hub.endpoint();
        options.retries = 0;
        Self { hub, options, cache }
    }

    fn pull(&self, part: &'static str) -> Result<PathBuf, WeightsError> {
        pull_dataset(ID, None, &self.options, &with(part), &mut |_| {})
    }

    fn offline(&self, part: &'static str) -> Result<PathBuf, WeightsError> {
        let options = HubOptions { offline: true, ..self.options.clone() };
        let snapshot = pull_dataset(ID, None, &options, &with(part), &mut |_| {});
        assert!(self.hub.take_log().is_empty(), "offline asks nobody");
        snapshot
    }

    fn folder(&self) -> PathBuf {
        self.cache.path().join("datasets--owner--tiny-model")
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.hub.state();
        state.files.iter().find(|(found, _)| found == name).unwrap().1.clone()
    }

    /// Holds the files of these names against what the hub has.
    fn assert_there(&self, snapshot: &Path, names: &[&str]) {
        for name in names {
            assert_eq!(std::fs::read(snapshot.join(name)).unwrap(), self.bytes(name), "{name}");
        }
    }
}

fn of_file(log: &[Request], name: &str) -> Vec<Request> {
    log.iter().filter(|request| request.path.ends_with(name)).cloned().collect()
}

fn nobody() -> String {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{free}")
}

#[test]
fn the_wanted_files_and_no_others_fill_the_ordinary_cache() {
    let scene = Scene::new();
    let mut told = None;
    let snapshot =
        pull_dataset(ID, None, &scene.options, &with("/test-"), &mut |event| match event {
            PullEvent::Files { files, bytes } => told = Some((files, bytes)),
            PullEvent::Progress { .. } | PullEvent::Finished { .. } => {}
            other => panic!("{other:?}"),
        })
        .unwrap();
    assert_eq!(snapshot, scene.folder().join("snapshots").join(COMMIT));
    assert_eq!(std::fs::read_to_string(scene.folder().join("refs/main")).unwrap(), COMMIT);
    scene.assert_there(&snapshot, &SHARDS);
    let bytes: usize = SHARDS.iter().map(|shard| scene.bytes(shard).len()).sum();
    assert_eq!(told, Some((2, Some(bytes as u64))));
    // Hugging Face's layout: a link from as many folders down as the file is.
    #[cfg(unix)]
    assert_eq!(
        std::fs::read_link(snapshot.join(SHARDS[0])).unwrap(),
        Path::new("../../../blobs").join(etag(SHARDS[0], &scene.bytes(SHARDS[0])))
    );
    let theirs = hf_hub::Cache::new(scene.cache.path().to_owned()).dataset(ID.to_owned());
    assert_eq!(theirs.get(SHARDS[1]).unwrap(), snapshot.join(SHARDS[1]));
    let log = scene.hub.take_log();
    for other in ["README.md", "train-", ".png"] {
        assert!(log.iter().all(|request| !request.path.contains(other)), "{other}");
    }
    let below = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    assert_eq!((below(&snapshot), below(&snapshot.join("data"))), (1, 2));
    assert!(!scene.folder().join(".incoming").exists());
}

#[test]
fn a_second_pull_fetches_what_is_newly_wanted_alone() {
    let scene = Scene::new();
    let snapshot = scene.pull("/test-").unwrap();
    scene.hub.take_log();
    assert_eq!(scene.pull("/test-").unwrap(), snapshot);
    assert_eq!(scene.hub.take_log().len(), 1, "the list of files");
    assert_eq!(scene.pull(".parquet").unwrap(), snapshot);
    let downloads = scene.hub.take_downloads();
    assert!(downloads.iter().all(|r| r.path.ends_with(OTHERS[1])), "{downloads:?}");
    scene.assert_there(&snapshot, &[SHARDS[0], SHARDS[1], OTHERS[1]]);
}

#[test]
fn a_broken_off_download_goes_on_where_it_stopped() {
    let scene = Scene::new();
    let name = "test-00001-of-00002.parquet";
    scene.hub.state().break_off.insert(name.to_owned(), 70_000);
    let error = scene.pull("/test-").unwrap_err();
    assert!(matches!(error, WeightsError::Download { .. }), "{error}");
    let told = error.to_string();
    assert!([ID, SHARDS[1], "resume"].iter().all(|part| told.contains(part)), "{told}");
    scene.hub.take_log();
    assert!(matches!(scene.offline("/test-"), Err(WeightsError::NotCached { .. })));
    let snapshot = scene.pull("/test-").unwrap();
    scene.assert_there(&snapshot, &SHARDS);
    let log = scene.hub.take_downloads();
    let second = of_file(&log, SHARDS[1]);
    assert!(second.iter().all(|request| request.range.as_deref() == Some("bytes=70000-")));
    let sent: usize = second.iter().map(|request| request.sent).sum();
    assert_eq!(sent, scene.bytes(SHARDS[1]).len() - 70_000);
    assert!(of_file(&log, SHARDS[0]).is_empty(), "what was complete is not fetched again");
}

#[test]
fn retries_and_wrong_bytes_are_as_with_models() {
    let mut scene = Scene::new();
    scene.options.retries = 1;
    scene.hub.state().busy = true;
    let snapshot = scene.pull("/test-0").unwrap();
    scene.assert_there(&snapshot, &SHARDS);
    scene.hub.state().damage = Some(OTHERS[1].to_owned());
    let error = scene.pull("train").unwrap_err();
    let WeightsError::DamagedDownload { file, kind, .. } = &error else { panic!("{error}") };
    assert_eq!((file.as_str(), *kind), (OTHERS[1], "sha256"));
    assert!(!snapshot.join(OTHERS[1]).exists());
}

#[test]
fn names_with_spaces_and_signs_are_asked_for_as_they_are() {
    let scene = Scene::new();
    let snapshot = scene.pull(".png").unwrap();
    scene.assert_there(&snapshot, &[OTHERS[2]]);
}

#[test]
fn without_the_hub_a_snapshot_counts_for_what_it_has_all_of() {
    let mut scene = Scene::new();
    let error = scene.offline("/test-").unwrap_err();
    let told = error.to_string();
    assert!([ID, "HF_HUB_OFFLINE"].iter().all(|part| told.contains(part)), "{told}");
    let snapshot = scene.pull("/test-").unwrap();
    scene.hub.take_log();
    assert_eq!(scene.offline("/test-").unwrap(), snapshot);
    // The list of files says that there is more than was fetched.
    for part in [".parquet", ".png", "no such file"] {
        assert!(matches!(scene.offline(part), Err(WeightsError::NotCached { .. })), "{part}");
    }
    scene.options.endpoint = nobody();
    let mut told = 0;
    let again = pull_dataset(ID, None, &scene.options, &with("/test-"), &mut |event| {
        assert!(matches!(event, PullEvent::Unreachable { .. }), "{event:?}");
        told += 1;
    });
    assert_eq!((again.unwrap(), told), (snapshot, 1));
    assert!(matches!(scene.pull("train"), Err(WeightsError::Download { .. })));
}

#[test]
fn a_cache_that_another_program_filled_is_used_unless_a_shard_is_missing() {
    let scene = Scene::new();
    let snapshot = scene.pull("/test-").unwrap();
    std::fs::remove_dir_all(scene.folder().join(".listings")).unwrap();
    scene.hub.take_log();
    assert_eq!(scene.offline(".parquet").unwrap(), snapshot);
    std::fs::remove_file(snapshot.join(SHARDS[0])).unwrap();
    assert!(matches!(scene.offline(".parquet"), Err(WeightsError::NotCached { .. })));
}

#[test]
fn refusals_and_unknown_names_are_told() {
    let mut scene = Scene::new();
    let error = scene.pull("no such file").unwrap_err();
    assert!(matches!(error, WeightsError::NothingWanted { .. }), "{error}");
    assert!(error.to_string().starts_with(ID), "{error}");
    let pull = |id, revision| {
        pull_dataset(id, revision, &scene.options, &with("/test-"), &mut |_| {}).unwrap_err()
    };
    let error = pull("owner/other", None);
    assert_eq!(error.to_string(), "owner/other: revision main not found on the hub");
    let error = pull(ID, Some("v9"));
    assert_eq!(error.to_string(), format!("{ID}: revision v9 not found on the hub"));
    scene.hub.state().token = Some("secret".to_owned());
    let error = scene.pull("/test-").unwrap_err();
    assert!(matches!(error, WeightsError::AccessRefused { status: 401, .. }), "{error}");
    let told = error.to_string();
    assert!([ID, "dataset", "HF_TOKEN"].iter().all(|part| told.contains(part)), "{told}");
    scene.options.token = Some("secret".to_owned());
    let snapshot = scene.pull("/test-").unwrap();
    scene.assert_there(&snapshot, &SHARDS);
    // A model of the same id is another repository, which this hub does not have.
    let error = glm4v_weights::pull(ID, None, &scene.options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, WeightsError::NotOnHub { .. }), "{error}");
}

#[test]
fn a_revision_is_kept_apart_and_two_pulls_at_once_fetch_each_file_once() {
    let scene = Scene::new();
    let at_request = || {
        pull_dataset(ID, Some("refs/pr/1"), &scene.options, &with("/test-"), &mut |_| {}).unwrap()
    };
    let snapshots: Vec<PathBuf> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(at_request)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(snapshots.iter().all(|snapshot| *snapshot == snapshots[0]));
    scene.assert_there(&snapshots[0], &SHARDS);
    let downloads = scene.hub.take_downloads();
    for shard in SHARDS {
        let bodies = of_file(&downloads, shard).iter().filter(|request| request.sent > 0).count();
        assert_eq!(bodies, 1);
    }
    let refs = scene.folder().join("refs");
    assert_eq!(std::fs::read_to_string(refs.join("refs/pr/1")).unwrap(), COMMIT);
    assert!(!refs.join("main").exists());
}

#[test]
fn names_that_lead_out_of_the_cache_are_not_fetched() {
    let scene = Scene::new();
    let outside = ["../../../test-evil.parquet", "/test-evil.parquet", "a/../../test-evil"];
    let evil = outside.map(|name| (name.to_owned(), b"evil".to_vec()));
    scene.hub.state().files.extend(evil);
    let snapshot = pull_dataset(ID, None, &scene.options, &|names| names.to_vec(), &mut |_| {});
    scene.assert_there(&snapshot.unwrap(), &SHARDS);
    assert!(scene.hub.take_log().iter().all(|request| !request.path.contains("evil")));
}
