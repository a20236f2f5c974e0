//! topicd as its callers meet it: a real server on a free port, a real client, one module a behaviour.

// What a helper unwraps is a test's failure like any other.
#![allow(clippy::unwrap_used)]

mod authorization;
mod backup;
mod bad_input;
mod batch_and_stream;
mod browsers;
mod classify;
mod command_line;
mod compare;
mod compression;
mod connections;
mod crash;
mod data_issues;
mod dataset;
mod dataset_service;
mod delete;
#[cfg(target_os = "linux")]
mod disk_full;
mod drift;
mod encoded;
mod error_table;
mod evaluate;
mod health;
mod inference;
mod learned_terms;
mod lifecycle;
mod limits;
mod load;
mod long_refusals;
mod metrics;
mod model_files;
mod model_memory;
mod models_command;
mod promotion;
mod raw_http2;
mod request_ids;
mod retraining;
mod server_info;
mod server_process;
mod settings;
mod stopping;
mod support;
mod tls;
mod topics;
mod traces;
mod traffic;
mod train;
mod versions;
