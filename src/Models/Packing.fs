namespace Peft

/// Whether a decoder's frozen weights should be brought into the order in which oneDNN multiplies, for the rest of at most
/// `steps` steps.
type internal Packing(steps: int) =
    // Bringing a weight into oneDNN's order costs about two steps' products and saves a good half of each: an answer of a
    // word or two is over before that, and a few more steps would not win it back.
    let stepsBefore, leastStepsAfter = 3, 8
    // The copies stand beside the weights.
    let mostBytes = 1L <<< 30

    /// Whether it is to be done before step `step`, of weights that are all of these.
    member _.IsTime(step: int, weights: unit -> Leaf list) : bool =
        step = stepsBefore
        && steps - step >= leastStepsAfter
        && weights ()
           |> List.sumBy (fun leaf -> leaf.Value.numel () * leaf.Value.ElementSize)
           <= mostBytes
