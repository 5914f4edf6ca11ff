namespace Peft

/// What the kernel of adapted maps computes in one step of the graph (`Kernels.Adapted`).
[<RequireQualifiedAccess>]
module internal OneStep =
    // The kernel's: a larger rank is left to products, and a map's sides are whole vectors.
    let private mostRank, private lanes = 16L, 8L

    let private isInput (branch: Branch) =
        match branch with
        | Branch.Before [ Step.Scale _ ] -> true
        | _ -> false

    let private isOutput (branch: Branch) =
        match branch with
        | Branch.Behind [ Step.Scale _ ] -> true
        | _ -> false

    let private rank (branch: Branch) : int64 option =
        match branch with
        | Branch.Beside [ Step.Matrix(_, rank, _); Step.Matrix _ ] when rank <= mostRank -> Some rank
        | _ -> None

    let private isUpdate (branch: Branch) = (rank branch).IsSome

    let private isShift (branch: Branch) =
        match branch with
        | Branch.Behind [ Step.Shift _ ] -> true
        | _ -> false

    let rec private begin' (wanted: (Branch -> bool) list) (branches: Branch list) : Branch list =
        match wanted, branches with
        | want :: later, branch :: rest when want branch -> branch :: begin' later rest
        | _ :: later, _ -> begin' later branches
        | [], _ -> []

    /// The innermost branches at a frozen map that are one step with it; a shift alone is faster without the kernel.
    let branches (site: Site) (branches: Branch list) : Branch list =
        let fits = site.In % lanes = 0L && site.Out % lanes = 0L

        match begin' [ isInput; isOutput; isUpdate; isShift ] branches with
        | found when fits && not (List.forall isShift found) -> found
        | _ -> []

    /// Whether the graph keeps what the map reads.
    let keepsInput (together: Branch list) : bool =
        together |> List.exists (fun branch -> isInput branch || isUpdate branch)

    /// Of so many tokens, with the bytes of what the map reads and of what it gives.
    let bytes (tokens: float) (read: float) (output: float) (together: Branch list) : Footprint =
        Footprint.sum
            [
                if List.exists isInput together then
                    Footprint.scratch (read + output)
                Footprint.kept (4.0 * tokens * float (List.sum (List.choose rank together)))
                if List.exists isOutput together then
                    Footprint.kept output
                Footprint.passing output
            ]

/// Everything that the costs of a micro-batch depend on.
[<NoComparison; NoEquality>]
type internal MicroBatch =
    {
        Shape: Shape
        At: Stack * int * LayerKind * Part -> Site option
        Form: Form
        Touches: Selector
        /// Which of the model's own tensors are trained, by name and by what they are.
        Owns: Owned
        Rows: float
        /// Bytes of an activation.
        Size: float
        Recomputes: bool
    }

/// A row of steps, and the result that it has come to.
type internal Line =
    {
        Operations: Operations
        /// Without the input's.
        Bytes: Footprint
        /// Of the result.
        Last: float
        /// Whether the result is still the input.
        IsInput: bool
        /// Whether the graph keeps the input.
        KeepsInput: bool
        /// Whether it keeps the result.
        IsKept: bool
        Flows: bool
    }

/// Steps one behind the other, and linear maps.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module internal Line =
    /// So many bytes where there is dropout.
    let dropped (setting: MicroBatch) (bytes: float) =
        if setting.Shape.Dropout > 0.0 then bytes else 0.0

    /// The beginning: so many bytes that are there already.
    let input (flows: bool) (bytes: float) : Line =
        {
            Operations = Operations.Zero
            Bytes = Footprint.nothing
            Last = bytes
            IsInput = true
            KeepsInput = false
            IsKept = false
            Flows = flows
        }

    /// A new result of so many bytes.
    let give (bytes: float) (line: Line) : Line =
        { line with
            Bytes = Footprint.join line.Bytes (Footprint.passing bytes)
            Last = bytes
            IsInput = false
            IsKept = false
        }

    /// The graph keeps the result.
    let keep (line: Line) : Line =
        if line.IsInput then
            { line with KeepsInput = true }
        elif line.IsKept then
            line
        else
            { line with
                Bytes = Footprint.keep line.Last line.Bytes
                IsKept = true
            }

    /// Beside a line: another one's operations and bytes.
    let beside (other: Line) (line: Line) : Line =
        { line with
            Operations = line.Operations + other.Operations
            Bytes = Footprint.join other.Bytes line.Bytes
            KeepsInput = line.KeepsInput || other.KeepsInput
            Flows = line.Flows || other.Flows
        }

    /// One step on so many tokens.
    let step (setting: MicroBatch) (tokens: float) (line: Line) (step: Step) : Line =
        let size (width: int64) = tokens * float width * setting.Size

        let product isTrained (fanOut: int64) (fanIn: int64) (line: Line) =
            let product = 2.0 * tokens * float fanOut * float fanIn

            { give (size fanOut) line with
                Operations =
                    line.Operations
                    + {
                          Forward = product
                          Through = if line.Flows then product else 0.0
                          Trained = if isTrained then product else 0.0
                      }
                Flows = line.Flows || isTrained
            }

        match step with
        | Step.Matrix(_, fanOut, fanIn) -> keep line |> product true fanOut fanIn
        | Step.Fixed(fanOut, fanIn)
        | Step.Frozen(fanOut, fanIn) -> product false fanOut fanIn line
        | Step.Scale(_, shape) ->
            { (keep line |> give (size shape.Head)) with
                Flows = true
            }
        | Step.Shift(_, shape) ->
            { give (size shape.Head) line with
                Flows = true
            }
        | Step.Activation -> (if line.Flows then keep line else line) |> give line.Last
        | Step.Dropout -> give line.Last line

    /// Whether steps end in the sum that joins them to what they stand beside.
    let private joins (steps: Step list) =
        steps
        |> List.exists (fun step ->
            match step with
            | Step.Matrix _
            | Step.Fixed _
            | Step.Frozen _ -> true
            | _ -> false)

    /// A map with what stands around it; `flows`: whether the input owes a gradient.
    let linear (setting: MicroBatch) (tokens: float) (flows: bool) (site: Site) : Line =
        let product = 2.0 * tokens * float site.In * float site.Out
        let isTrained = setting.Owns.Names.Contains $"{site.Name}.weight"

        let read, output =
            tokens * float site.In * setting.Size, tokens * float site.Out * setting.Size

        let branches =
            if setting.Touches site then
                setting.Form.Branches site
            else
                []

        // From the outside in: whether what each branch reads owes a gradient, and at last what the map reads.
        let owed, mapFlows =
            List.foldBack
                (fun branch (found, flows) ->
                    match branch with
                    | Branch.Before _ -> (branch, flows) :: found, true
                    | _ -> (branch, flows) :: found, flows)
                branches
                ([], flows)

        // From the inside out: what each costs.
        let around (line: Line) (branch: Branch, flows: bool) : Line =
            let alone steps =
                List.fold (step setting tokens) (input flows read) steps

            match branch with
            | Branch.Before steps -> line |> beside (alone steps)
            | Branch.Beside steps -> line |> beside (alone steps) |> give output
            | Branch.Behind steps ->
                let behind = List.fold (step setting tokens) line steps
                if joins steps then give output behind else behind
            | Branch.BesideLayer _ -> line
            | Branch.Once(forward, trained) ->
                { line with
                    Operations =
                        line.Operations
                        + { Operations.Zero with
                              Forward = forward
                              Trained = trained
                          }
                }

        let map: Line =
            {
                Operations =
                    {
                        Forward = product
                        Through = if mapFlows then product else 0.0
                        Trained = if isTrained then product else 0.0
                    }
                Bytes = Footprint.passing output
                Last = output
                IsInput = false
                KeepsInput = isTrained
                IsKept = false
                Flows = mapFlows || isTrained
            }

        match if isTrained then [] else OneStep.branches site branches with
        | [] ->
            let line = List.fold around map owed

            match branches with
            // The product goes before the sum is there.
            | [ Branch.Behind [ Step.Shift _ ] ] ->
                { line with
                    Bytes = Footprint.join (Footprint.scratch (2.0 * output)) (Footprint.passing output)
                }
            | _ -> line
        | together ->
            let inside, outside = owed |> List.splitAt together.Length

            let one =
                { List.fold around map inside with
                    Bytes = OneStep.bytes tokens read output together
                    KeepsInput = OneStep.keepsInput together
                    Last = output
                    IsKept = false
                }

            List.fold around one outside
