//! The JSON Schema of job files, from the one table of settings.

use crate::jobfile::settings::{SETTINGS, Setting, Shape};
use serde_json::{Map, Value, json};

fn of(setting: &Setting) -> Value {
    let text = json!({"type": "string"});
    let mut value = match setting.shape {
        Shape::Text if setting.flag == "retry" => json!({"type": ["string", "integer"]}),
        Shape::Text => text.clone(),
        Shape::Count if setting.flag == "gpus" => json!({"type": ["integer", "string"], "minimum": 0}),
        Shape::Count => json!({"type": "integer", "minimum": 0}),
        Shape::List => json!({"type": ["array", "string"], "items": text}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Pairs => json!({"type": "object", "additionalProperties": {"type": ["string", "integer"]}}),
    };
    if setting.flag == "pause" {
        value = json!({"type": ["object", "string"], "properties": {
            "checkpoint": text, "grace": text, "exit": {"const": 85}}, "additionalProperties": false});
    }
    value["description"] = setting.help.into();
    value
}

fn put(properties: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [] => {}
        [last] => {
            properties.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => {
            let table = properties
                .entry((*first).to_owned())
                .or_insert_with(|| json!({"type": "object", "properties": {}, "additionalProperties": false}));
            if let Some(inner) = table["properties"].as_object_mut() {
                put(inner, rest, value);
            }
        }
    }
}

/// The schema, as text.
pub fn job_file() -> String {
    let mut properties = Map::new();
    properties.insert("command".to_owned(), json!({"type": "array", "items": {"type": "string"}, "minItems": 1}));
    for setting in SETTINGS {
        put(&mut properties, &setting.key.split('.').collect::<Vec<_>>(), of(setting));
    }
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A Neap job file, version 1",
        "type": "object",
        "required": ["command"],
        "properties": properties,
        "additionalProperties": false,
    });
    serde_json::to_string_pretty(&schema).expect("a schema is plain data")
}
