//! What runs on a GPU: how much power it takes and how much of its time depends on the core clock.

use bytemuck::{Pod, Zeroable};

/// A load. Watts are for the whole board at full clock.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Load {
    /// Dynamic watts, which follow clock and voltage.
    pub dynamic: f64,
    /// Memory watts.
    pub memory: f64,
    /// Share of the time that the GPU is busy at full clock.
    pub busy: f64,
    /// Share of busy time that scales with the clock.
    pub clocked: f64,
    /// If above 0: no time is lost down to this relative clock, and all of it scales below.
    pub knee: f64,
    /// Seconds of work left at full speed and alone on its share; infinite: until it is taken away.
    pub work: f64,
    /// Share of the board it may use at once (an MPS percentage or a MIG slice).
    pub share: f64,
    /// Length in seconds of one turn of busy and waiting; 0: evenly mixed.
    pub period: f64,
    /// Process.
    pub pid: u64,
    /// MIG instance plus one; 0: the whole board.
    pub instance: u64,
    /// Energy above idle it has taken, in millijoules. The GPU's to write.
    pub taken: f64,
    /// 1 while it runs, 2 when it has ended. The GPU's to write.
    pub present: u64,
}

impl Load {
    /// A load that runs until it is taken away.
    #[must_use]
    pub const fn new(dynamic: f64, memory: f64, busy: f64, clocked: f64) -> Self {
        Self {
            dynamic,
            memory,
            busy,
            clocked,
            knee: 0.0,
            work: f64::INFINITY,
            share: 1.0,
            period: 0.0,
            pid: 0,
            instance: 0,
            taken: 0.0,
            present: 1,
        }
    }

    /// ResNet-50 training, batch 128, on V100.
    pub const RESNET50_V100: Self = Self::new(162.0, 45.0, 0.92, 0.33);
    /// ResNet-50 training, batch 128, on A40.
    pub const RESNET50_A40: Self = Self::new(172.0, 29.0, 0.80, 0.37);
    /// BERT on SQuAD, batch 24, on V100.
    pub const BERT_V100: Self = Self::new(165.0, 40.0, 0.95, 0.43);
    /// BERT on SQuAD, batch 32, on A40.
    pub const BERT_A40: Self = Self::new(193.0, 12.0, 0.89, 0.59);
    /// DeepSpeech2, batch 48, on V100.
    pub const DEEPSPEECH_V100: Self = Self::new(188.0, 27.0, 0.76, 0.35);
    /// DeepSpeech2, batch 64, on A40.
    pub const DEEPSPEECH_A40: Self = Self::new(157.0, 18.0, 0.52, 0.67);
    /// ShuffleNetV2, batch 256, on V100.
    pub const SHUFFLENET_V100: Self = Self::new(185.0, 0.0, 0.76, 0.26);
    /// ShuffleNetV2, batch 256, on A40.
    pub const SHUFFLENET_A40: Self = Self::new(122.0, 11.0, 0.82, 0.30);
    /// Matrix products on Hopper. Assumed.
    pub const GEMM_HOPPER: Self = Self::new(560.0, 70.0, 1.0, 1.0);
    /// Token-by-token inference on Hopper: no limit above 290 W binds, and a clock of 0.6 costs no speed. Assumed.
    pub const DECODE_HOPPER: Self = Self { knee: 0.6, ..Self::new(90.0, 130.0, 1.0, 0.0) };

    /// Of this process.
    #[must_use]
    pub const fn pid(self, pid: u32) -> Self {
        Self { pid: pid as u64, ..self }
    }

    /// With so many seconds of work at full speed.
    #[must_use]
    pub const fn work(self, seconds: f64) -> Self {
        Self { work: seconds, ..self }
    }

    /// On this share of the board only.
    #[must_use]
    pub const fn share(self, share: f64) -> Self {
        Self { share, ..self }
    }

    /// In turns of so many seconds: first busy, then waiting.
    #[must_use]
    pub const fn period(self, seconds: f64) -> Self {
        Self { period: seconds, ..self }
    }

    /// In a MIG instance, counted from 0.
    #[must_use]
    pub const fn instance(self, instance: u32) -> Self {
        Self { instance: instance as u64 + 1, ..self }
    }

    /// Length of a step at a relative clock; 1 or a little less at full clock is the yardstick.
    #[must_use]
    pub fn step(&self, phi: f64) -> f64 {
        if self.knee > 0.0 {
            return (self.knee / phi).max(1.0);
        }
        self.busy * (self.clocked / phi + 1.0 - self.clocked) + 1.0 - self.busy
    }

    /// Share of a step that the GPU is busy.
    #[must_use]
    pub fn busy_share(&self, phi: f64) -> f64 {
        if self.knee > 0.0 {
            return 1.0;
        }
        self.busy * (self.clocked / phi + 1.0 - self.clocked) / self.step(phi)
    }

    /// Watts above the base while busy.
    #[must_use]
    pub fn watts(&self, phi: f64, voltage: f64) -> f64 {
        self.memory + self.dynamic * phi * voltage * voltage
    }

    /// Speed relative to full clock.
    #[must_use]
    pub fn speed(&self, phi: f64) -> f64 {
        self.step(1.0) / self.step(phi)
    }
}
