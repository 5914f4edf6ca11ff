namespace Peft.Reports

open System
open System.IO
open System.Text.RegularExpressions
open Peft

/// The list of the files that a report is made of, in the report's folder: what the next report into the folder may delete.
[<RequireQualifiedAccess>]
module Manifest =
    /// Its name: one that no folder has by chance.
    let fileName = ".peft-report"

    /// Its first line: a file without it is none of ours.
    let private firstLine =
        "Files that peft report wrote. The next report into this folder deletes those that it does not write."

    /// Everything that a report ever writes is named so; a line of another form, such as `../x` or `train.csv`, is passed over.
    let private name =
        Regex @"\A(report\.(md|html)|tables/[A-Za-z0-9-]+\.(csv|tex)|figures/[A-Za-z0-9-]+\.(png|svg))\z"

    /// A folder that is a link leads to files of somebody else.
    let private isBehindLink (root: string) (line: string) : bool =
        match line.Split '/' with
        | [| folder; _ |] -> not (isNull (DirectoryInfo(Path.Combine(root, folder)).LinkTarget))
        | _ -> false

    /// What an earlier report into a folder wrote and is still there, by paths in the folder with `/`; none where the folder
    /// has no list, or a file of that name that is none.
    let read (output: string) : string list =
        let root = Path.TrimEndingDirectorySeparator(Path.GetFullPath output)
        let path = Path.Combine(root, fileName)

        match (if File.Exists path then File.ReadAllLines path else [||]) with
        | lines when lines.Length > 0 && lines[0] = firstLine ->
            lines[1..]
            |> Array.filter (fun line ->
                name.IsMatch line
                && not (isBehindLink root line)
                && File.Exists(Path.Combine(root, line)))
            |> List.ofArray
        | _ -> []

    /// Writes the list of a report's files.
    let write (output: string) (files: string list) : unit =
        Files.writeAtomically
            (Path.Combine(output, fileName))
            (String.Join("\n", firstLine :: List.sort (List.distinct files)) + "\n")
