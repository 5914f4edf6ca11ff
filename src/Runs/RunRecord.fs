namespace Peft

open Peft.Kernels
open System
open System.Collections.Generic
open System.IO
open System.Runtime.InteropServices
open TorchSharp

/// The result of a run: as it begins, after a failure, and on the disk.
[<RequireQualifiedAccess>]
module internal RunRecord =
    let private versions () =
        [
            "peft", string (typeof<Run>.Assembly.GetName().Version)
            "torchsharp", string (typeof<torch>.Assembly.GetName().Version)
            "libtorch", torch.__version__
            "dotnet", RuntimeInformation.FrameworkDescription
            "os", RuntimeInformation.OSDescription
            // Sums of products are split by thread: the last digits of a float32 result may depend on their number.
            "threads", string (torch.get_num_threads ())
            // Without a kernel its plain composition serves, with other rounding and masks.
            match Kernel.all |> List.filter (Kernel.isOn >> not) with
            | [] -> ()
            | off -> "kernels off", off |> List.map Kernel.name |> String.concat ", "
        ]
        |> List.map KeyValuePair
        |> Dictionary

    /// The time now, as result files tell it.
    let now () : string =
        DateTime.UtcNow.ToString "yyyy-MM-ddTHH:mm:ssZ"

    /// The result of a run before anything is known of it.
    let unknown (shop: Workshop) (experiment: Experiment) : Run =
        { Run.unknown shop.Session.Options.Device experiment with
            Base = Run.baseName shop.Session.Options.ModelFolder
            BaseCommit = shop.Session.BaseCommit
            Recipe =
                if Method.isBaseline experiment.Method then
                    None
                else
                    shop.Recipe
            Processor = Some(Processor.name ())
            Versions = versions ()
            Command = shop.Command
        }

    /// The result of a run whose rows are known.
    let ofPrepared (prepared: Prepared) : Run =
        let session, rows = prepared.Shop.Session, prepared.Rows
        let unknown = unknown prepared.Shop prepared.Experiment

        let trained (portion: 'a[]) =
            if Method.isBaseline prepared.Experiment.Method then
                0
            else
                portion.Length

        { unknown with
            DataCommit = session.DataCommit prepared.Task
            Metric = prepared.Task.Metric.Name
            Timing =
                { unknown.Timing with
                    Load = session.LoadSeconds
                    Tokenise = rows.Seconds
                }
            TotalParameters = Model.count session.Model
            TrainRows = trained rows.Train
            ValidationRows = trained rows.Validation
            TestRows = rows.Test.Length
            Source = Some rows.Split.Source
            Overlap = Some rows.Split.Overlap
        }

    /// The result of a run that failed.
    let failed (shop: Workshop) (experiment: Experiment) (cause: string) : Run =
        { unknown shop experiment with
            Status = "failed"
            Error = cause
            PeakMemoryMiB = Memory.peakMiB ()
            FinishedAt = now ()
        }

    /// The result file of an experiment, finished or failed; `UserError` where it holds another experiment's.
    let tryRead (results: string) (experiment: Experiment) : Run option =
        let path = Run.path results experiment

        if File.Exists path then
            let run = Results.readFile path

            if run.Experiment <> experiment then
                userError
                    $"{path} holds the result of another experiment. Move it away or name another folder with --results."

            Some run
        else
            None
