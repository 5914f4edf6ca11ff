// The search behind the `small` preset. Every technique tries the same peak learning rates at the low level; the two with
// the lowest validation loss, averaged over the embedded tasks, go on to the medium level, and the lower mean over both
// levels decides. Test rows play no part.
//
//   dotnet fsi scripts/search.fsx                                 every technique, into results/search
//   dotnet fsi scripts/search.fsx results/search full lora        some of them; finished runs are not repeated
#load "prelude.fsx"

open System.Threading
open Peft

let results =
    fsi.CommandLineArgs |> Array.tryItem 1 |> Option.defaultValue "results/search"

let techniques =
    match fsi.CommandLineArgs |> List.ofArray with
    | _ :: _ :: (_ :: _ as names) -> names |> List.map Technique.parse
    | _ -> Technique.all

let peaks = [ 1e-3; 3e-3; 1e-2; 3e-2; 1e-1; 3e-1 ]

let plan (techniques: Technique list) (level: Level) (peak: float) : SweepPlan =
    {
        Place =
            {
                ModelFolder = Embedded.modelFolder ()
                DataFolder = Embedded.dataFolder ()
                Device = "cpu"
                Precision = "float32"
            }
        Tasks = TaskDefinition.generated
        Methods = techniques |> List.map Tuned
        Placements = [ Placement.everywhere ]
        IsAblation = false
        Levels = [ level ]
        Seeds = [ 1 ]
        InputLimit = 512
        TargetLimit = 128
        ValidationLimit = 250
        TestLimit = 1
        Beams = 1
        Preset = "paper"
        Overrides =
            { Overrides.None with
                Accumulation = Some 1
                Rates = Some(peak / 10.0, peak, peak / 10.0)
            }
    }

let session = Session (plan [] Low 1.0).Place

let shop report : Workshop =
    {
        Session = session
        Results = results
        Report = report
        Stop = CancellationToken.None
        Command = "scripts/search.fsx"
        Adapter = fun _ -> None
        ValidationLimit = 250
        TestLimit = 1
    }

/// The runs of plans.
let runs (plans: SweepPlan list) : Run list =
    let experiments = plans |> List.collect (Sweep.experiments session)

    let costs =
        experiments
        |> List.map (fun (_, experiment) -> Experiment.id experiment, float experiment.Training.Epochs)

    Progress.during costs (fun report -> Pipeline.sweep (shop report) experiments)

let best (run: Run) =
    if run.IsFinished then
        run.Epochs |> List.map _.ValidationLoss |> List.min
    else
        infinity

/// Prints each task's lowest validation loss; gives their mean.
let told (level: Level) (peak: float) (runs: Run list) : float =
    let losses =
        runs
        |> List.filter (fun run -> run.Experiment.Training.PeakRate = peak)
        |> List.map best

    let listed =
        losses |> List.map (fun loss -> loss.ToString "F3") |> String.concat "  "

    printfn $"  {Level.name level, -6} peak {peak, -6}: mean validation loss {List.average losses:F4}   ({listed})"
    List.average losses

for technique in techniques do
    let at level peaks =
        let runs = peaks |> List.map (plan [ technique ] level) |> runs
        printfn $"\n{Technique.name technique}"
        peaks |> List.map (fun peak -> peak, told level peak runs)

    let low = at Low peaks
    let two = low |> List.sortBy snd |> List.take 2
    let medium = two |> List.map fst |> at Medium

    let peak, _ =
        List.zip two medium
        |> List.minBy (fun ((_, low), (_, medium)) -> low + medium)
        |> fst

    printfn $"  its peak is {peak}"
