//! `models`: list, path, inspect, pull. What the hub does is tested in the weights crate.

use crate::hub_server::{Hub, ID};
use crate::{fixture, glm4v, run, tiny};

#[test]
fn the_list_has_the_built_in_model_first_and_says_what_is_here() {
    let run = run(glm4v().args(["models", "list"]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let mut lines = run.stdout.lines();
    assert!(lines.next().unwrap().starts_with("nano "), "{}", run.stdout);
    let ocr = lines.find(|line| line.starts_with("glm-ocr ")).unwrap();
    assert!(ocr.contains("to be pulled") && ocr.ends_with("zai-org/GLM-OCR"), "{ocr}");
}

#[test]
fn a_model_in_the_cache_is_listed_and_found() {
    let home = tempfile::tempdir().unwrap();
    let repository = home.path().join("hub/models--zai-org--GLM-OCR");
    let snapshot = repository.join("snapshots/0123456789abcdef0123456789abcdef01234567");
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::create_dir_all(repository.join("refs")).unwrap();
    std::fs::write(repository.join("refs/main"), "0123456789abcdef0123456789abcdef01234567")
        .unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json", "generation_config.json"] {
        std::fs::copy(fixture(&format!("goldens/glm_ocr/{name}")), snapshot.join(name)).unwrap();
    }
    let list = run(glm4v().env("HF_HOME", home.path()).args(["models", "list"]));
    let ocr = list.stdout.lines().find(|line| line.starts_with("glm-ocr ")).unwrap().to_owned();
    assert!(ocr.contains("here"), "{ocr}");
    for name in ["glm-ocr", "zai-org/GLM-OCR"] {
        let path = run(glm4v().env("HF_HOME", home.path()).args(["models", "path", name]));
        assert_eq!(path.code, Some(0), "{}", path.stderr);
        assert_eq!(path.stdout.trim_end(), snapshot.to_str().unwrap());
    }
    let card = run(glm4v().env("HF_HOME", home.path()).args(["models", "inspect", "glm-ocr"]));
    assert_eq!(card.code, Some(0), "{}", card.stderr);
    assert!(card.stdout.contains("glm_ocr"), "{}", card.stdout);
}

#[test]
fn a_model_that_is_not_here_comes_with_a_remedy() {
    for arguments in [["models", "path", "glm-ocr"], ["models", "inspect", "zai-org/GLM-OCR"]] {
        let run = run(glm4v().args(arguments));
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
        assert!(run.stderr.contains("models pull"), "{}", run.stderr);
    }
    let nano = run(glm4v().args(["models", "pull", "nano"]));
    assert_eq!(nano.code, Some(1));
    assert!(nano.stderr.contains("needs no download"), "{}", nano.stderr);
    let offline = run(glm4v().args(["models", "pull", "glm-ocr"]));
    assert_eq!(offline.code, Some(1));
    assert!(offline.stderr.contains("HF_HUB_OFFLINE"), "{}", offline.stderr);
}

#[test]
fn a_folder_is_inspected_without_its_weights_being_read() {
    let run = run(glm4v().args(["models", "inspect", &tiny(), "--tensors"]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for told in ["takes images   yes", "context        2048 tokens", "<|begin_of_image|>"] {
        assert!(run.stdout.contains(told), "{told}: {}", run.stdout);
    }
    let name = "model.visual.patch_embed.proj.weight";
    assert!(run.stdout.lines().any(|line| line.starts_with("tensor") && line.contains(name)));
}

#[test]
fn a_model_with_latents_is_inspected_with_what_they_take() {
    let folder = fixture("goldens/glm5_next");
    let run = run(glm4v().args(["models", "inspect", &folder, "--json"]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let card = &run.json_lines()[0];
    assert_eq!(card["model_type"], "glm5_next");
    // Two layers with latents of 20 numbers, one of them with a quarter of 14 for the indexer.
    assert_eq!(card["cache_per_token"], 4 * (2 * 20 + 4));
}

#[test]
fn a_damaged_checkpoint_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("goldens/glm/config.json"), folder.path().join("config.json")).unwrap();
    let whole = std::fs::read(fixture("goldens/glm/model.safetensors")).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), &whole[..whole.len() / 2]).unwrap();
    let run = run(glm4v().args(["models", "inspect", folder.path().to_str().unwrap()]));
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("model.safetensors"), "{}", run.stderr);
}

#[test]
fn a_quantised_file_answers_as_the_model_quantised_while_loading() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nano.gguf").to_str().unwrap().to_owned();
    let made = run(glm4v().args(["models", "quantize", "nano", &file, "--quant", "q8_0"]));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/images/bars.png");
    let question = ["ask", chart, "-q", "-p", "Describe this image.", "--max-tokens", "40"];
    let loaded = run(glm4v().args(question).args(["--quant", "q8_0"]));
    let read = run(glm4v().args(question).args(["--model", &file]));
    assert_eq!((read.code, &read.stdout), (Some(0), &loaded.stdout), "{}", read.stderr);
    assert!(read.stdout.len() > 20, "{}", read.stdout);
}

#[test]
fn quantised_files_get_a_name_that_loads_and_overwrite_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let quantize = |name: &str| {
        let path = folder.path().join(name).to_str().unwrap().to_owned();
        run(glm4v().args(["models", "quantize", "nano", &path, "--quant", "q8_0"]))
    };
    let unnamed = quantize("nano.q8");
    assert_eq!(unnamed.code, Some(2));
    assert!(unnamed.stderr.contains("must end in .gguf"), "{}", unnamed.stderr);
    std::fs::write(folder.path().join("mmproj-nano.gguf"), "kept").unwrap();
    let taken = quantize("nano.gguf");
    assert_eq!(taken.code, Some(1));
    assert!(taken.stderr.contains("mmproj-nano.gguf"), "{}", taken.stderr);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_model_on_the_hub_is_inspected_before_it_is_downloaded() {
    let names = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];
    let read = |name: &str| std::fs::read(fixture(&format!("goldens/glm4v/{name}"))).unwrap();
    let hub = Hub::start(names.map(|name| (name.to_owned(), read(name))).into());
    let home = tempfile::tempdir().unwrap();
    let inspect = |offline: &str| {
        let mut command = glm4v();
        command.env("HF_HOME", home.path()).env("HF_ENDPOINT", hub.endpoint());
        command.env("HF_HUB_OFFLINE", offline).env_remove("HF_TOKEN");
        run(command.args(["models", "inspect", ID, "--json"]))
    };
    let remote = inspect("0");
    assert_eq!(remote.code, Some(0), "{}", remote.stderr);
    assert!(remote.stderr.contains("not in the cache"), "{}", remote.stderr);
    let local = run(glm4v().args(["models", "inspect", &tiny(), "--json"]));
    let (remote, local) = (&remote.json_lines()[0], &local.json_lines()[0]);
    for field in ["memory", "stored", "modules", "parameters", "cache_per_token", "prompt"] {
        assert_eq!(remote[field], local[field], "{field}");
    }
    assert_eq!(remote["fits"].as_object().unwrap().len(), local["fits"].as_object().unwrap().len());
    // The weights did not come with it.
    assert_eq!(inspect("1").code, Some(1));
}
