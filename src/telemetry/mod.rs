//! What operators see of a running server: [`logs`], [`metrics`] and [`traces`].

pub mod connections;
pub mod logs;
pub mod metrics;
pub mod traces;
