// Trains a small T5 from random weights: span corruption and copying, then an instruction mixture.
//
//   dotnet fsi scripts/pretrain.fsx --check                                      the first 200 steps again, against the record
//   dotnet fsi scripts/pretrain.fsx --output models/mine --text book.txt         a model of your own; goes on after a stop
//   dotnet fsi scripts/pretrain.fsx -- --help                                    every option
#load "prelude.fsx"

open Peft

Script.pretrain fsi.CommandLineArgs
