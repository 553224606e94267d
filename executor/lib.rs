//! Acts: what runs beside a job.
