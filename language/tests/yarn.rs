//! YaRN's frequencies against those that transformers computes.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use glm4v_language::{DecoderConfig, TextConfig, TextFamily};
use serde_json::{Value, json};

fn decoder(row: &Value, newer: bool) -> DecoderConfig {
    let mut config = json!({
        "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 64, "vocab_size": 64,
        "head_dim": row["head_dim"], "max_position_embeddings": row["max_position_embeddings"],
    });
    let mut scaling = row["rope_scaling"].clone();
    if newer {
        for key in ["rope_theta", "partial_rotary_factor"] {
            scaling[key] = row[key].clone();
        }
        config["rope_parameters"] = scaling;
    } else {
        scaling["type"] = scaling["rope_type"].take();
        scaling.as_object_mut().unwrap().remove("rope_type");
        config["rope_scaling"] = scaling;
        for key in ["rope_theta", "partial_rotary_factor"] {
            config[key] = row[key].clone();
        }
    }
    let config: TextConfig = serde_json::from_value(config).unwrap();
    config.decoder(TextFamily::Glm4, None).unwrap()
}

#[test]
fn frequencies_are_the_references_in_both_styles_of_config() {
    let rows: Value =
        serde_json::from_str(include_str!("../../tests/fixtures/yarn/frequencies.json")).unwrap();
    for row in rows.as_array().unwrap() {
        let expected: Vec<f64> = serde_json::from_value(row["inv_freq"].clone()).unwrap();
        for newer in [true, false] {
            let config = decoder(row, newer);
            let found = config.rotary.frequencies();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                let error = (f64::from(*found) - expected).abs() / expected;
                assert!(error < 1e-5, "{}: {found} is not {expected}", row["name"]);
            }
            let factor = row["attention_factor"].as_f64().unwrap();
            assert!((config.rotary.attention_factor() - factor).abs() < 1e-9, "{}", row["name"]);
        }
    }
    assert_eq!(decoder(&rows[0], true).context_length, 131_072);
}
