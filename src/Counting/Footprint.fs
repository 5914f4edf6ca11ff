namespace Peft

/// Bytes of what a part of a training step computes, by how long they stay. Parts add up in the order in which they are
/// computed; the backward pass goes through them in the other direction.
type internal Footprint =
    {
        /// Until the step ends, whatever the backward pass does.
        Held: float
        /// Until the backward pass has read it.
        Kept: float
        /// Until the block ends: nothing reads it again, but its scope still has it.
        Passing: float
        /// The most at once while the part is computed.
        Peak: float
        /// The most at once while it is differentiated: gradients, and what is kept of the part.
        Back: float
    }

[<RequireQualifiedAccess>]
module internal Footprint =
    /// No bytes at all.
    let nothing: Footprint =
        {
            Held = 0.0
            Kept = 0.0
            Passing = 0.0
            Peak = 0.0
            Back = 0.0
        }

    /// Held until the step ends.
    let held (bytes: float) : Footprint =
        { nothing with
            Held = bytes
            Peak = bytes
        }

    /// Kept for the backward pass.
    let kept (bytes: float) : Footprint =
        { nothing with
            Kept = bytes
            Peak = bytes
            Back = bytes
        }

    /// There until the block ends.
    let passing (bytes: float) : Footprint =
        { nothing with
            Passing = bytes
            Peak = bytes
        }

    /// There while the part is computed.
    let scratch (bytes: float) : Footprint = { nothing with Peak = bytes }

    /// There while what comes before is differentiated.
    let back (bytes: float) : Footprint = { nothing with Back = bytes }

    /// Kept where a backward pass reads it, passing elsewhere.
    let either (isKept: bool) (bytes: float) : Footprint =
        if isKept then kept bytes else passing bytes

    /// `after` is computed behind `before`.
    let join (before: Footprint) (after: Footprint) : Footprint =
        {
            Held = before.Held + after.Held
            Kept = before.Kept + after.Kept
            Passing = before.Passing + after.Passing
            Peak = max before.Peak (before.Held + before.Kept + before.Passing + after.Peak)
            Back = max before.Back (before.Kept + after.Back)
        }

    /// Parts in the order of computation.
    let sum (parts: Footprint seq) : Footprint = Seq.fold join nothing parts

    /// So many of the passing bytes are kept.
    let keep (bytes: float) (part: Footprint) : Footprint =
        { part with
            Passing = part.Passing - bytes
            Kept = part.Kept + bytes
            Back = part.Back + bytes
        }

    /// What stays when the block ends.
    let close (part: Footprint) : Footprint = { part with Passing = 0.0 }

    /// The part computed again when it is differentiated, from what is there anyway: the gradient of its result is there by
    /// then, and those of what it shares with other parts are its own until it ends.
    let again (ofResult: float) (ofShared: float) (part: Footprint) : Footprint =
        { part with
            Kept = 0.0
            Passing = 0.0
            Back = ofShared + max (ofResult + part.Peak) part.Back
        }

    /// The most at once in a step that consists of this.
    let most (whole: Footprint) : float =
        max whole.Peak (whole.Held + whole.Back)
