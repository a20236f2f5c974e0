//! Compiles `proto/` to Rust and to a descriptor set, with protox, so that no `protoc` is needed. Without the feature
//! `server` nothing is compiled.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `sqlx::migrate!` doesn't see new files by itself.
    println!("cargo::rerun-if-changed=migrations");
    #[cfg(feature = "server")]
    protobuf::compile()?;
    Ok(())
}

#[cfg(feature = "server")]
mod protobuf {
    use std::error::Error;
    use std::path::Path;

    const INCLUDES: [&str; 2] = ["proto", "proto/third_party"];

    /// Our services' files. `error_details.proto` is no import of theirs: it is there so that reflection and JSON know
    /// what the details of an error are.
    const FILES: [&str; 14] = [
        "topicd/v1/classifier_service.proto",
        "topicd/v1/comparison.proto",
        "topicd/v1/dataset_service.proto",
        "topicd/v1/document.proto",
        "topicd/v1/model_file.proto",
        "topicd/v1/model_service.proto",
        "topicd/v1/monitoring.proto",
        "topicd/v1/promotion.proto",
        "topicd/v1/settings.proto",
        "topicd/v1/topic_description.proto",
        "topicd/v1/traffic_service.proto",
        "topicd/v1/training.proto",
        "google/rpc/error_details.proto",
        "inference/grpc_predict_v2.proto",
    ];

    pub(crate) fn compile() -> Result<(), Box<dyn Error>> {
        println!("cargo::rerun-if-changed=proto");
        println!("cargo::rerun-if-changed=build.rs");
        let out_dir = std::env::var("OUT_DIR")?;

        let mut compiler = protox::Compiler::new(INCLUDES)?;
        // Source info carries the comments: to rustdoc, and through reflection to callers.
        compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
        std::fs::write(Path::new(&out_dir).join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

        let mut config = tonic_prost_build::Config::new();
        config.enable_type_names();
        // Tensors may be large: they aren't copied from the message.
        config.bytes([
            ".inference.ModelInferRequest",
            ".inference.ModelInferResponse",
            ".inference.InferTensorContents",
        ]);
        tonic_prost_build::configure()
            .extern_path(".google.rpc", "::tonic_types::pb")
            .compile_fds_with_config(compiler.file_descriptor_set(), config)?;
        Ok(())
    }
}
