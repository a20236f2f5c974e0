//! What operators see of a running server: [`logs`] and [`metrics`].

pub mod logs;
pub mod metrics;
