/// What a plan says of a step's memory, held against the peaks of steps of a live model.
///
/// A peak is that of the process's resident memory (`Memory`), less what is there before the step. It says what tensors take
/// only where freed ones are gone at once: glibc keeps most of them for the next, and a peak then depends on all that
/// was computed before. So the steps run in a process of their own, whose allocator maps and unmaps every tensor of 32 KiB
/// or more (`MALLOC_MMAP_THRESHOLD_`), and whose collector keeps its youngest generation small. Sampled counts of live bytes
/// (`mallinfo2`) would miss what lives within one operation.
module Peft.Tests.MemoryTests

open System
open System.Diagnostics
open System.Globalization
open System.IO
open Expecto
open TorchSharp
open Peft
open Peft.Kernels

/// One measured step.
type private Case =
    {
        Technique: Technique
        Precision: torch.ScalarType
        Dropout: float
        /// Whether the feed-forward layers are gated and the head its own, as in T5 v1.1.
        IsNew: bool
        /// Whether blocks are computed again.
        Recomputes: bool
    }

    override case.ToString() =
        $"""{case.Technique.Words}, {case.Precision}, dropout {case.Dropout}, T5 v1.{(if case.IsNew then 1 else 0)}{(if case.Recomputes then ", recomputed" else "")}"""

/// Large enough that activations are many times what the runtime takes meanwhile (1 to 4 MiB).
let private workload precision recomputes : Workload =
    {
        Batch = 12
        Accumulation = 1
        InputLength = 128
        TargetLength = 32
        Precision = precision
        Recomputes = recomputes
    }

let private config (case: Case) : T5.Config =
    { T5.Config.gated 512 256 32 8 512 4 with
        DropoutRate = case.Dropout
        IsGated = case.IsNew
        Activation = if case.IsNew then GeluNew else Relu
        IsTied = not case.IsNew
        ScalesOutput = not case.IsNew
    }

/// Usual settings of every technique, and what the kernels compute in another way: dropout, ranks above theirs, a frozen
/// encoder, chains.
let private techniques =
    [
        "paper-lora"
        "lora(rank=8,alpha=16)"
        "lora(rank=8,alpha=16,dropout=0.1)"
        "lora(rank=8,dora)"
        "lora(rank=32)"
        "ia3"
        "ia3(published)"
        "paper-ia3"
        "bitfit"
        "prompt(tokens=20)"
        "prompt(tokens=20,init=vocabulary)"
        "prefix(tokens=20)"
        "adapter(width=64)"
        "adapter(width=64,parallel)"
        "layernorm"
        "vera(rank=4)"
        "adalora(rank=8,start=12,alpha=8)"
        "modules(names=final_layer_norm+wo)"
        "modules(names=decoder.final_layer_norm)"
        "full"
        "prompt(tokens=20) >> lora(rank=8)"
    ]
    |> List.map Technique.parse

/// The first example of a technique that is not among them.
let private others =
    Technique.specs
    |> List.filter (fun spec -> techniques |> List.forall (fun technique -> technique.Name <> spec.Name))
    |> List.map (fun spec -> Technique.parse spec.Examples.Head)

let private cases: Case list =
    let usual technique =
        {
            Technique = technique
            Precision = torch.ScalarType.Float32
            Dropout = 0.1
            IsNew = true
            Recomputes = false
        }

    let some =
        [ "lora(rank=8,alpha=16)"; "prefix(tokens=20)"; "full" ]
        |> List.map (Technique.parse >> usual)

    [
        yield! List.map usual (techniques @ others)
        for case in some do
            { case with Dropout = 0.0 }

            { case with
                Precision = torch.ScalarType.BFloat16
            }

            { case with IsNew = false }
            { case with Recomputes = true }

            { case with
                Precision = torch.ScalarType.BFloat16
                Recomputes = true
            }
    ]

/// Rows of these lengths, one of them a token shorter: there is padding.
let private batch rows inputLength targetLength : Batch =
    let row seed =
        {
            Ids =
                Array.init (if seed = 1 then inputLength - 1 else inputLength) (fun place ->
                    2 + (seed + 3 * place) % 300)
            Labels = Array.init targetLength (fun place -> 2 + (seed + 5 * place) % 300)
        }

    Batch.ofRows 0 torch.CPU (Array.init rows row)

/// MiB of a step at its peak, and the bytes of trained tensors, their gradients and the optimiser's state.
let private measure (case: Case) : float * int64 list =
    use _ = torch.NewDisposeScope()
    let dtype = case.Precision
    let base' = (T5.T5Family.architecture (config case)).Random dtype 1
    let model = Adapter.ofTechnique case.Technique 1 base'
    let parameters = Model.trained model
    let optimizer = Optimizer.adamW 0.9 0.999 1e-8 0.0 parameters
    let work = workload dtype case.Recomputes

    let pass =
        let plain = Pass.Training case.Dropout
        if case.Recomputes then plain.Recomputing() else plain

    let step batch =
        Trainer.step pass 1.0 1e-4 optimizer parameters model [ batch ] |> ignore

    // Gradients are there, and the code is compiled.
    step (batch 2 3 2)
    use large = batch work.Batch work.InputLength work.TargetLength
    Memory.resetPeak ()
    let before = Memory.peakMiB ()
    step large
    let peak = Memory.peakMiB () - before

    let bytes (tensors: torch.Tensor seq) =
        tensors |> Seq.sumBy (fun tensor -> tensor.numel () * tensor.element_size ())

    let gradients =
        parameters |> List.choose (fun (_, parameter) -> Option.ofObj parameter.grad)

    let own =
        [
            bytes (parameters |> Seq.map (fun (_, parameter) -> parameter :> torch.Tensor))
            bytes gradients
            bytes (optimizer.State() |> Seq.map snd)
        ]

    gradients |> List.iter _.Dispose()
    optimizer.State() |> List.iter (fun (_, tensor) -> tensor.Dispose())
    peak, own

/// The argument that makes the test program measure and tell, and do nothing else.
let argument = "measure-memory"

/// Tells peaks and bytes, a line for each case.
let tell () : unit =
    measure cases.Head |> ignore

    for case in cases do
        let peak, own = measure case
        let numbers = own |> List.map string |> String.concat " "
        Console.WriteLine $"""{peak.ToString("r", CultureInfo.InvariantCulture)} {numbers}"""

let private measured () : (float * int64 list) list =
    let program =
        match Environment.ProcessPath with
        | null -> failtest "the test program does not know its own path"
        | path -> path

    let start =
        ProcessStartInfo(program, RedirectStandardOutput = true, UseShellExecute = false)

    if Path.GetFileNameWithoutExtension program = "dotnet" then
        start.ArgumentList.Add(Reflection.Assembly.GetExecutingAssembly().Location)

    start.ArgumentList.Add argument
    start.Environment["MALLOC_MMAP_THRESHOLD_"] <- "32768"
    start.Environment["DOTNET_GCgen0size"] <- "200000"
    start.Environment["DOTNET_gcConcurrent"] <- "0"
    // The estimate is of the kernels.
    start.Environment.Remove Kernel.variable |> ignore

    use child =
        match Process.Start start with
        | null -> failtest "the test program did not start again"
        | child -> child

    let told = child.StandardOutput.ReadToEnd()
    child.WaitForExit()
    Expect.equal child.ExitCode 0 "the measuring process ends well"

    told.Split('\n', StringSplitOptions.RemoveEmptyEntries)
    |> List.ofArray
    |> List.map (fun line ->
        let numbers = line.Split ' ' |> List.ofArray
        Double.Parse(numbers.Head, CultureInfo.InvariantCulture), numbers.Tail |> List.map Int64.Parse)

let private plan (case: Case) : MemoryEstimate =
    let shape = Model.shape ((T5.T5Family.architecture (config case)).Skeleton())

    (Plan.create shape case.Technique Placement.everywhere (workload case.Precision case.Recomputes)).Memory

/// Of a measured peak. The plan says 0.95 to 1.01 of it: what it leaves out are 1 to 4 MiB that the runtime and the rooms of
/// matrix products take, and the smallest peak is 38 MiB. Another processor's products may want larger rooms.
let private tolerance = 0.1

let private canMeasure () =
    OperatingSystem.IsLinux()
    && (try
            File.WriteAllText("/proc/self/clear_refs", "5")
            true
        with
        | :? IOException
        | :? UnauthorizedAccessException -> false)

[<Tests>]
let tests =
    testList
        "Costs memory"
        [
            testCase "of every technique: the plan's memory is a step's"
            <| fun () ->
                if not (canMeasure ()) then
                    skiptest "this system does not let a process begin a new peak of its memory"

                let found = measured ()
                Expect.equal found.Length cases.Length "every case is told"

                let wrong =
                    List.zip cases found
                    |> List.choose (fun (case, (peak, own)) ->
                        let planned = plan case
                        let activations = float planned.Activations / 1048576.0

                        if own <> [ planned.Trained; planned.Gradients; planned.Optimizer ] then
                            Some $"{case}: trained, gradients and optimiser are {own}, and {planned} in the plan"
                        elif abs (activations - peak) > tolerance * peak then
                            Some $"{case}: {activations:F1} MiB of activations in the plan, {peak:F1} measured"
                        else
                            None)

                if not wrong.IsEmpty then
                    failtest (String.concat "\n" wrong)
        ]
