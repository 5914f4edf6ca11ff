namespace Peft

open System.Diagnostics
open System.Threading

/// The best of the techniques, trained to the end with several seeds, and the test rows, once.
[<RequireQualifiedAccess>]
module internal Finals =
    let private stage (ground: Ground) (finalists: Contender list) (epochs: int) (seed: int) : Stage =
        {
            Name = $"finals, seed {seed}"
            IsFinal = true
            HasBaselines = (seed = 1)
            Contenders = finalists |> List.map Journal.ofContender
            Rows = ground.Rows.Train
            Epochs = epochs
            Seed = seed
        }

    /// The most epochs, up to the plan's, that the time left holds for every seed.
    let private epochs (racing: Racing) (pace: Pace) (plan: TrialPlan) (families: string list) (factor: float) : int =
        let ground = racing.Ground
        let jobs = min ground.Question.Jobs (families.Length * plan.Seeds) |> max 1
        let most = max 1 (plan.Examples / ground.Rows.Train)

        let seconds count =
            let plan =
                { plan with
                    Examples = count * ground.Rows.Train
                }

            factor * TrialPlan.finalSeconds pace ground.Rows families plan / float jobs

        Seq.initInfinite (fun less -> most - less)
        |> Seq.takeWhile (fun count -> count > 1)
        |> Seq.tryFind (fun count -> seconds count <= racing.Left 0.95)
        |> Option.defaultValue 1

    /// Trains the finalists seed by seed, as many seeds as the budget holds; gives the stages that were begun. A seed that is
    /// not likely to end within a twentieth above the budget is not begun, but for the first.
    let run
        (racing: Racing)
        (journal: Journal)
        (pace: Pace)
        (plan: TrialPlan)
        (factor: float)
        (leaders: Standing list)
        =
        let ground = racing.Ground
        let finalists = leaders |> List.truncate plan.Finalists
        let epochs = epochs racing pace plan (finalists |> List.map _.Family) factor

        let seed (stages: Stage list, last: float, journal: Journal) (seed: int) =
            let wanted = stage ground (finalists |> List.map _.Contender) epochs seed

            let isKnown = journal.Stages |> List.exists (fun known -> known.Name = wanted.Name)

            if stages.Length < seed - 1 || (seed > 1 && not isKnown && last > racing.Left 1.05) then
                stages, last, journal
            else
                let journal =
                    if seed = 1 && not isKnown then
                        { journal with
                            TestScorings = journal.TestScorings + 1
                        }
                    else
                        journal

                let stage, journal = Race.decide racing journal wanted
                let watch = Stopwatch.StartNew()
                Race.perform racing (racing.Left 1.08) stage |> ignore
                stages @ [ stage ], watch.Elapsed.TotalSeconds, journal

        let stages, _, journal = [ 1 .. plan.Seeds ] |> List.fold seed ([], 0.0, journal)
        stages, journal

/// A process that helps another one with its race.
[<RequireQualifiedAccess>]
module internal Assistance =
    let private pause = 300

    /// Runs of the last stage that the journal has decided, until it says that all is over or `stop` is cancelled.
    let run (racing: Racing) : unit =
        let folder = racing.Ground.Question.Folder

        let last () =
            Journal.tryRead folder
            |> Option.filter (fun journal -> journal.Key = racing.Ground.Key)
            |> Option.map (fun journal -> journal, List.tryLast journal.Stages)

        let rec work (behind: string) =
            racing.Stop.ThrowIfCancellationRequested()

            match last () with
            | Some(journal, _) when journal.IsOver -> ()
            | Some(_, Some stage) when stage.Name <> behind ->
                use source = CancellationTokenSource.CreateLinkedTokenSource racing.Stop
                let watch = Stopwatch.StartNew()

                /// Now and then: whether the race has gone on to another stage.
                let look event =
                    match event with
                    | RunTold _ when watch.ElapsedMilliseconds > 500L ->
                        watch.Restart()

                        match last () with
                        | Some(_, Some now) when now.Name = stage.Name -> ()
                        | _ -> source.Cancel()
                    | _ -> ()

                Race.perform
                    { racing with
                        Tell = look
                        Stop = source.Token
                    }
                    1e6
                    stage
                |> ignore

                work stage.Name
            | _ ->
                racing.Stop.WaitHandle.WaitOne pause |> ignore
                work behind

        let rec untilOver () =
            let hasMovedOn =
                try
                    work ""
                    false
                with :? System.OperationCanceledException when not racing.Stop.IsCancellationRequested ->
                    true

            if hasMovedOn then
                untilOver ()

        untilOver ()
